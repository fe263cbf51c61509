//! The certificate with which a sender's connection was made (C1): whether it shows the name that the
//! webhook asks for. That it is valid and chains to a CA of the owner's choice is known before: what
//! does not verify is never handed here.

use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::webhook::CertificateName;
use tradewarden_seal::CertificateNames;

const CHECK: &str = "client_certificate";
/// What of a certificate's names goes into the trace, in characters.
const SHOWN_CHARACTERS_MAX: usize = 256;

/// Judges the certificate of a request. The trace holds the name that was shown.
pub(crate) fn judge(
    wanted: Option<&CertificateName>,
    presented: Option<&[u8]>,
    trace: &mut Trace,
) -> Result<(), Refusal> {
    let Some(wanted) = wanted else {
        trace.skip(CHECK, "not asked for on this webhook");
        return Ok(());
    };
    let names = presented.map(names);
    let matching = names.iter().flatten().find(|shown| wanted.is_shown_by(shown));
    if let Some(name) = matching {
        trace.pass_with(CHECK, name.to_string(), Some(wanted.to_string()));
        return Ok(());
    }
    let (input, detail) = match &names {
        None => {
            let detail = "The sender showed no client certificate that this gateway trusts.";
            ("none".to_owned(), detail.to_owned())
        }
        Some(names) => {
            let shown = in_short(names);
            let detail = format!("The sender's client certificate names {shown}, not {wanted}.");
            (shown, detail)
        }
    };
    let refusal = Refusal {
        code: Code::ClientCertificate,
        input: Some(input),
        limit: Some(wanted.to_string()),
        detail,
    };
    trace.fail(CHECK, &refusal);
    Err(refusal)
}

/// The names in a certificate, alternative names first. One that cannot be read shows none.
fn names(der: &[u8]) -> Vec<CertificateName> {
    let CertificateNames { emails, dns, common_names } =
        CertificateNames::from_der(der).unwrap_or_default();
    let emails = emails.into_iter().map(CertificateName::Email);
    let dns = dns.into_iter().map(CertificateName::Dns);
    emails.chain(dns).chain(common_names.into_iter().map(CertificateName::CommonName)).collect()
}

/// The names in one line: a certificate may hold thousands, and characters that move a cursor.
fn in_short(names: &[CertificateName]) -> String {
    let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match listed.as_str() {
        "" => "nobody".to_owned(),
        _ => listed.chars().filter(|c| !c.is_control()).take(SHOWN_CHARACTERS_MAX).collect(),
    }
}
