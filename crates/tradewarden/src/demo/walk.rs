//! The printed walk: commands to paste, each with the answer to expect (S24).

use std::fmt::Write as _;
use std::path::Path;

use crate::serve::Announcement;
use crate::shell::{quoted, quoted_path};

/// The walk for this demo; `program` is how a shell starts us, `organization` is named where there are others.
pub(super) fn text(demo: &Announcement, program: &str, organization: Option<&str>) -> String {
    let Some(webhook) = &demo.webhook else { return String::new() };
    let ca = demo.ca_file.as_deref();
    let key = demo
        .api_keys
        .iter()
        .flatten()
        .find_map(|key| Some((key.key_id.as_str(), key.private_key_file.as_deref()?)));
    let named = organization.map(|name| format!(" --organization {}", quoted(name)));
    let named = named.unwrap_or_default();
    let own = format!("{} --data {}{named}", quoted(program), quoted_path(&demo.data_dir));
    let send = |action: &str, comment: &str, name: &str| {
        let trust = ca.map(|ca| format!("--cacert {} ", quoted_path(ca))).unwrap_or_default();
        format!(
            "curl -sS {trust}-H 'X-Webhook-Secret: {}' -d '{{\"action\":\"{action}\",\"comment\":\"{comment}\",\
             \"id\":\"'$RUN'-{name}\"}}' {}; echo",
            webhook.secret,
            quoted(&webhook.url)
        )
    };
    let entry = send("BUY", "ENTRY", "entry");
    let refused = send("BUY", "ENTRY", "halted");
    let half = send("EXIT", "EXIT_50", "half");
    let last = send("EXIT", "EXIT_FINAL", "final");
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _written = write!(
        page,
        "
  PAPER - this gateway trades with paper money only. Nothing here reaches a real broker.

  address    {base}
  console    {console} (pages come with a later version)
  internal   {internal} (metrics; client certificate {data}/tls/internal-client.pem)
  data       {data}
  account    {account}, 100,000 USD of paper money
  strategy   {strategy}, 10 AAPL on each entry
  webhook    {webhook_id}
  owner      {owner_email}, password {owner_password}
{trust}
  The webhook's secret is in the commands below and is kept in {data}/demo.json, so that the
  next start can print it again. A real webhook's secret is shown once.

Open another shell there and paste one line after the other:

  RUN=demo-$(date +%s)

1  An entry. Expect {{\"status\":\"accepted\",...}}: 10 AAPL are bought.
  {entry}

2  The same again. Expect {{\"status\":\"duplicate\",...}} with the same signal_id: nothing is bought twice.
  {entry}

3  Half of it out. Expect \"accepted\": 5 are sold.
  {half}

4  The rest. Expect \"accepted\": 5 are sold, the position is flat.
  {last}

5  Stop everything. Expect the halt with mode \"block\".
  {own} halt engage --reason 'trying the stop button'

6  An entry while halted. Expect status 422 in the body, with \"code\":\"halt.active\".
  {refused}

7  Go on. Expect the halt that ended.
  {own} halt resume $({own} halt status --json | grep -o 'hlt_[0-9A-Za-z]*' | head -n 1)

What became of it:
  {own} order list
  {own} position list
  {own} signal list
  {own} signal show $({own} signal list --limit 1 --json | grep -o 'sig_[0-9A-Za-z]*' | head -n 1)
  {own} audit prove $({own} order list --json | grep -o 'ord_[0-9A-Za-z]*' | head -n 1)
  {own} audit verify

The same by API, signed with the demo's key; the line that `sign` prints holds for one minute:
  eval \"$({program} sign{sign_trust} --key {key_id} --private-key-file {key_file} --url {base}/api/v1/orders)\"; echo

As the owner, who may look but not trade before a second factor is enrolled:
  TOKEN=$(curl -sS {cacert}-d '{{\"email\":\"{owner_email}\",\"password\":\"{owner_password}\"}}' {base}/api/v1/auth/login | grep -o 'eyJ[0-9A-Za-z._-]*')
  curl -sS {cacert}-H \"Authorization: Bearer $TOKEN\" {base}/api/v1/me; echo
  curl -sS {cacert}-H \"Authorization: Bearer $TOKEN\" -X POST {base}/api/v1/me/factors/totp; echo
Add the secret to an authenticator app and send its code within five minutes of the login to
.../api/v1/me/factors/totp/ID/confirm as {{\"code\":\"123456\"}}; from then on a login asks for a code.

Stop the demo with Ctrl-C.
",
        base = demo.base_url,
        console = demo.console_url,
        internal = demo.internal_url,
        data = demo.data_dir.display(),
        account = demo.account_id.as_deref().unwrap_or_default(),
        strategy = demo.strategy_id.as_deref().unwrap_or_default(),
        webhook_id = webhook.id,
        owner_email = demo.owner.as_ref().map_or("", |owner| &owner.email),
        owner_password = demo.owner.as_ref().map_or("", |owner| &owner.password),
        trust = trust(ca),
        cacert = ca.map(|ca| format!("--cacert {} ", quoted_path(ca))).unwrap_or_default(),
        program = quoted(program),
        sign_trust = ca.map(|ca| format!(" --cacert {}", quoted_path(ca))).unwrap_or_default(),
        key_id = key.map(|(id, _)| id).unwrap_or_default(),
        key_file = key.map(|(_, file)| quoted_path(file)).unwrap_or_default(),
    );
    page
}

/// How to trust the demo's certificate.
fn trust(ca: Option<&Path>) -> String {
    let Some(ca) = ca else { return String::new() };
    format!(
        "  trust      {}
             curl takes it by --cacert, as below. For a browser import it as an authority for
             web sites, and remove it again when you are done: only this demo's CA signs with it.
",
        ca.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{AnnouncedKey, AnnouncedOwner, AnnouncedWebhook};

    fn demo(data_dir: &str) -> Announcement {
        Announcement {
            base_url: "https://127.0.0.1:8443".to_owned(),
            ca_file: Some(Path::new(data_dir).join("tls/ca.pem")),
            console_url: "https://localhost:8443".to_owned(),
            internal_url: "https://127.0.0.1:8444".to_owned(),
            http_url: None,
            org_id: Some("org_1".to_owned()),
            owner: Some(AnnouncedOwner {
                email: "owner@localhost".to_owned(),
                password: "made up".to_owned(),
            }),
            account_id: Some("acc_1".to_owned()),
            strategy_id: Some("str_1".to_owned()),
            webhook: Some(AnnouncedWebhook {
                id: "whk_1".to_owned(),
                token: "twh_1".to_owned(),
                secret: "tww_1".to_owned(),
                url: "https://127.0.0.1:8443/api/v1/webhooks/twh_1".to_owned(),
            }),
            api_keys: Some(vec![AnnouncedKey {
                key_id: "key_1".to_owned(),
                algorithm: "ed25519",
                secret: None,
                private_key_file: Some(Path::new(data_dir).join("demo-key.pem")),
            }]),
            data_dir: data_dir.into(),
            pid: 1,
        }
    }

    #[test]
    fn the_walk_says_paper_and_has_every_step() {
        let text = text(&demo("/d"), "/bin/tradewarden", None);
        assert!(text.contains("PAPER"));
        for step in [
            "\"comment\":\"ENTRY\"",
            "EXIT_50",
            "EXIT_FINAL",
            "halt engage",
            "halt resume",
            "audit prove",
            "audit verify",
            "--cacert /d/tls/ca.pem",
            "duplicate",
            "halt.active",
            "--key key_1 --private-key-file /d/demo-key.pem",
        ] {
            assert!(text.contains(step), "{step}");
        }
    }

    #[test]
    fn paths_with_spaces_stay_one_word() {
        assert!(text(&demo("/my data"), "p", None).contains("--cacert '/my data/tls/ca.pem'"));
    }

    #[test]
    fn the_organization_is_named_where_there_are_several() {
        assert!(!text(&demo("/d"), "p", None).contains("--organization"));
        let named = text(&demo("/d"), "p", Some("org_1"));
        assert!(named.contains("p --data /d --organization org_1 halt engage"), "{named}");
    }

    #[test]
    fn the_announcement_has_the_keys_of_the_product_page() {
        let json = serde_json::to_value(demo("/d")).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = [
            "base_url",
            "ca_file",
            "console_url",
            "internal_url",
            "org_id",
            "owner",
            "account_id",
            "strategy_id",
            "webhook",
            "api_keys",
            "data_dir",
            "pid",
        ];
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!(
            json["owner"],
            serde_json::json!({"email": "owner@localhost", "password": "made up"})
        );
        assert_eq!(json["api_keys"][0]["private_key_file"], "/d/demo-key.pem");
    }
}
