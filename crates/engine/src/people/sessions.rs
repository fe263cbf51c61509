//! Sessions: opened, renewed, recognised, ended.
//!
//! Refresh tokens are used once (RFC 9700 section 4.14.2). One that comes again ends its whole
//! session, because one of the two who showed it is a thief. Whoever did not hear the answer logs in
//! again.

use super::login::Left;
use super::notices::{Notice, tell};
use super::passwords::end_sessions_in;
use super::principals::PASSKEY_METHOD;
use super::{Client, Cookie, Origin, RefreshShown, Said, parse_id, person_of};
use crate::actor::{Actor, Person, Who};
use crate::book::Book;
use crate::caller::{NotAuthenticated, Once, Shown};
use crate::command::error::{CommandError, failed, no};
use crate::effects::Severity;
use crate::row_code::{self, Stranger};
use crate::view::MeView;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::SessionKind;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{HashedToken, PlainToken, SecretString, TokenKind};
use tradewarden_store::sessions::{self, RefreshRow, SessionRow};
use tradewarden_store::{Error, Tx};

/// Sessions of one person at one time; one more ends the oldest.
pub(crate) const SESSIONS_MAX: usize = 100;
/// The cookie that shows a session; the prefix keeps it on this host and on TLS (RFC 6265bis).
pub const COOKIE: &str = "__Host-tw_sid";
/// The header in which our own pages show that a change is theirs. No form can set it, and no page of
/// somebody else may.
const CSRF: &str = "x-tw-csrf";

/// A session before it is stored. Its secrets are made before the transaction, which may run twice.
pub(super) struct Opening {
    row: SessionRow,
    token: PlainToken,
    /// The session that the same browser showed until now.
    replaces: Option<Id<id::Session>>,
}

/// What is stored of a session's tokens.
#[derive(Clone, Copy)]
pub(super) struct StoredTokens {
    refresh: Option<[u8; 32]>,
    replaces: Option<Id<id::Session>>,
}

impl Opening {
    /// What the transaction writes.
    pub(super) fn to_store(&self) -> (SessionRow, StoredTokens) {
        let refresh = (self.row.kind == SessionKind::Token).then(|| *self.token.hash().as_bytes());
        (self.row.clone(), StoredTokens { refresh, replaces: self.replaces })
    }

    /// It goes on from another session: as old as that, and to end when that would.
    pub(super) fn continues(&mut self, before: &Left) {
        self.row.authenticated_at = before.authenticated_at;
        self.row.expires_at = self.row.expires_at.min(before.expires_at);
    }
}

/// Writes a session, with its entry.
pub(super) async fn store(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    row: &SessionRow,
    tokens: StoredTokens,
) -> Result<(), Error> {
    if let Some(before) = tokens.replaces {
        sessions::end(tx, before, "login", book.now).await?;
    }
    let known = sessions::is_known_device(tx, row.user_id, &row.user_agent, &row.address).await?;
    let alive = sessions::alive_of(tx, row.user_id, book.now).await?;
    let surplus = alive.len().saturating_sub(SESSIONS_MAX - 1);
    for oldest in alive.into_iter().take(surplus) {
        sessions::end(tx, oldest, "too_many", book.now).await?;
    }
    let code = row_code::of_session(&shared.row_sealer, row);
    sessions::insert(tx, &SessionRow { code, ..row.clone() }).await?;
    if let Some(hash) = tokens.refresh {
        sessions::insert_refresh(tx, &refresh_row(shared, hash, row.id, book.now)).await?;
    }
    let payload = json!({
        "actor": row.user_id, "kind": row.kind, "methods": row.methods, "new_device": !known,
    });
    book.enter(shared, row.org_id, row.id, "session.started", &payload);
    if !known {
        let told = Notice::NewDevice.from(&row.address);
        tell(tx, book, shared, row.org_id, row.user_id, told).await?;
    }
    Ok(())
}

impl Engine {
    pub(super) fn opening(
        &self,
        user: Id<id::User>,
        org: Id<id::Org>,
        kind: SessionKind,
        methods: &str,
        factor_at: Option<Timestamp>,
        client: &Client,
    ) -> Opening {
        let now = self.now();
        let lifetimes = self.parts.people.profile.lifetimes();
        let (token, lasts) = match kind {
            SessionKind::Token => (TokenKind::Refresh, lifetimes.refresh_token),
            SessionKind::Cookie => (TokenKind::Session, lifetimes.console),
        };
        let token = self.new_token(token);
        let token_hash = (kind == SessionKind::Cookie).then(|| *token.hash().as_bytes());
        let row = SessionRow {
            id: self.parts.environment.id(now),
            user_id: user,
            org_id: org,
            kind,
            token_hash,
            methods: methods.to_owned(),
            address: client.address.to_string(),
            user_agent: client.user_agent.clone(),
            authenticated_at: now,
            factor_at,
            last_seen_at: now,
            expires_at: now.plus(lasts),
            code: [0; 32],
        };
        let replaces = client.session.filter(|_| kind == SessionKind::Cookie);
        Opening { row, token, replaces }
    }

    /// What the person gets of a session that is stored.
    pub(super) fn opened(&self, opening: Opening) -> Result<Said, CommandError> {
        let Opening { row, token, .. } = opening;
        match row.kind {
            SessionKind::Token => self.tokens(&row, &token),
            SessionKind::Cookie => {
                let value = json!({
                    "session_id": row.id, "user_id": row.user_id, "org_id": row.org_id,
                    "expires_at": row.expires_at,
                });
                Ok(self.shown_by(&row, Some(token), value))
            }
        }
    }

    /// Another token for a session that a cookie shows: whoever knew the one before is out as soon as
    /// the session may do more (OWASP ASVS 5.0 V7.2.4).
    pub(super) fn another_token(&self, row: &SessionRow) -> Option<PlainToken> {
        (row.kind == SessionKind::Cookie).then(|| self.new_token(TokenKind::Session))
    }

    /// An answer with the cookie that shows the session from now on, if that changed.
    pub(super) fn shown_by(
        &self,
        row: &SessionRow,
        token: Option<PlainToken>,
        mut value: Value,
    ) -> Said {
        let Some(token) = token else { return value.into() };
        if let Some(members) = value.as_object_mut() {
            let csrf = self.parts.people.pepper.csrf_token(token.hash().as_bytes());
            members.insert("csrf_token".to_owned(), json!(csrf.expose()));
        }
        let cookie = Cookie::Set {
            token: SecretString::new(token.expose().to_owned()),
            max_age_s: row.expires_at.since(self.now()).as_secs(),
        };
        Said { value, cookie }
    }

    fn tokens(&self, row: &SessionRow, refresh: &PlainToken) -> Result<Said, CommandError> {
        let people = &self.parts.people;
        let now = self.now();
        let lasts = people.profile.lifetimes().access_token.min(row.expires_at.since(now));
        let principals = people.principals.load();
        let member = principals.members.get(&(row.org_id, row.user_id));
        let epoch = member.map_or(0, |member| member.epoch);
        let token = people.signing.load().issue(&self.parts, row, epoch, now, lasts);
        let token = token.ok_or_else(|| CommandError::Unavailable {
            detail: "the access token could not be signed".to_owned(),
        })?;
        Ok(json!({
            "access_token": token.expose(),
            "refresh_token": refresh.expose(),
            "token_type": "Bearer",
            "expires_in": lasts.as_secs(),
        })
        .into())
    }

    pub(super) async fn refresh(
        &self,
        shown: &RefreshShown,
        client: &Client,
    ) -> Result<Said, CommandError> {
        self.slow_down(client).await?;
        let wrong = || {
            self.parts.people.sources.failed(client.address, self.now());
            self.parts.denials.count_as(client.address, "refresh_token");
            failed()
        };
        let shown = shown.refresh_token.secret().expose();
        if TokenKind::recognise(shown) != Some(TokenKind::Refresh) {
            return Err(wrong());
        }
        let old = *HashedToken::of(shown.as_bytes()).as_bytes();
        let next = self.new_token(TokenKind::Refresh);
        let new = *next.hash().as_bytes();
        let address = client.address.to_string();
        let shared = Arc::clone(&self.parts);
        let principals = self.parts.people.principals.load_full();
        let renewed = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                renew(tx, book, &shared, &principals, old, new, &address).await
            })
            .await?;
        match renewed {
            Renewed::Yes(row) => self.tokens(&row, &next),
            Renewed::No => Err(wrong()),
            Renewed::Stolen => {
                self.parts.change_people(async |_: &mut Tx<'_>, _: &mut Book| Ok(())).await?;
                Err(wrong())
            }
        }
    }

    pub(super) async fn log_out(&self, actor: &Actor) -> Result<Said, CommandError> {
        self.end_session(person_of(actor)?.session_id, actor).await?;
        Ok(Said { value: json!({ "ended": true }), cookie: Cookie::Clear })
    }

    pub(super) fn own_sessions(&self, person: &Person) -> Said {
        let principals = self.parts.people.principals.load();
        let own = principals.sessions_everywhere(person.user_id, self.now());
        let items: Vec<Value> =
            own.map(|row| self.session_view(row, Some(person.session_id))).collect();
        json!({ "items": items, "next": null }).into()
    }

    pub(super) async fn end_own_session(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Said, CommandError> {
        let person = person_of(actor)?;
        let id: Id<id::Session> = parse_id(id)?;
        let principals = self.parts.people.principals.load_full();
        let row = principals.session(id, self.now());
        row.filter(|row| row.user_id == person.user_id).ok_or(CommandError::NotFound)?;
        self.end_session(id, actor).await?;
        let cookie = if id == person.session_id { Cookie::Clear } else { Cookie::Keep };
        Ok(Said { value: json!({ "id": id, "ended": true }), cookie })
    }

    /// Ends a session now; its tokens are void with the next request.
    pub(crate) async fn end_session(
        &self,
        id: Id<id::Session>,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        let principals = self.parts.people.principals.load_full();
        let row = principals.session(id, self.now()).ok_or(CommandError::NotFound)?;
        let (org, user) = (row.org_id, row.user_id);
        let (by, shared) = (actor.name(), Arc::clone(&self.parts));
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if sessions::end(tx, id, &by, book.now).await? {
                    let payload = json!({ "actor": by, "user_id": user });
                    book.enter(&shared, org, id, "session.ended", &payload);
                }
                Ok(())
            })
            .await
    }

    /// Ends every session of a person in the organization.
    pub(crate) async fn end_all_sessions(
        &self,
        org: Id<id::Org>,
        user: Id<id::User>,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        let (by, shared) = (actor.name(), Arc::clone(&self.parts));
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                end_sessions_in(tx, book.now, org, user, &by).await?;
                let payload = json!({ "actor": by });
                book.enter(&shared, org, user, "user.sessions_ended", &payload);
                Ok(())
            })
            .await
    }

    pub(crate) fn session_view(&self, row: &SessionRow, current: Option<Id<id::Session>>) -> Value {
        json!({
            "id": row.id, "user_id": row.user_id, "org_id": row.org_id, "kind": row.kind,
            "methods": row.methods.split(' ').collect::<Vec<_>>(),
            "address": row.address, "user_agent": row.user_agent,
            "authenticated_at": row.authenticated_at, "factor_at": row.factor_at,
            "last_seen_at": self.last_seen(row), "expires_at": row.expires_at,
            "current": current == Some(row.id),
        })
    }

    fn last_seen(&self, row: &SessionRow) -> Timestamp {
        let seen = self.parts.people.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&row.id).map_or(row.last_seen_at, |seen| (*seen).max(row.last_seen_at))
    }

    /// The person behind an access token.
    pub(crate) fn by_access_token(&self, token: &str) -> Option<Actor> {
        let now = self.now();
        let people = &self.parts.people;
        let claims = people.signing.load().verify(token, now)?;
        let principals = people.principals.load();
        let session = principals.session(claims.session, now)?;
        let epoch = principals.members.get(&(session.org_id, session.user_id))?.epoch;
        let same = session.kind == SessionKind::Token
            && session.user_id == claims.user
            && session.org_id == claims.org
            && epoch == claims.epoch;
        if !same {
            return None;
        }
        self.saw(session.id, now);
        principals.actor(session, people.profile)
    }

    /// The person behind a session that is alive, with what the role allows now.
    pub(crate) fn by_session(&self, id: Id<id::Session>) -> Option<Actor> {
        let people = &self.parts.people;
        let principals = people.principals.load();
        let session = principals.session(id, self.now())?;
        principals.actor(session, people.profile)
    }

    /// The person behind a cookie, if the request shows one. A change must come from a page of our
    /// own: a browser sends the cookie along with what any page asks for.
    pub(crate) fn by_cookie(&self, shown: &Shown<'_>) -> Option<Result<Actor, NotAuthenticated>> {
        let cookie = match shown.cookie(COOKIE) {
            Once::Absent => return None,
            Once::Unusable => return Some(Err(NotAuthenticated::Failed)),
            Once::Text(cookie) => cookie,
        };
        let changes = !matches!(shown.method, "GET" | "HEAD" | "OPTIONS");
        if changes && self.origin_of(shown) != Origin::Own {
            return Some(Err(NotAuthenticated::Origin));
        }
        let hash = HashedToken::of(cookie.as_bytes());
        let Some(session) = self.of_cookie(&hash) else {
            return Some(Err(NotAuthenticated::Failed));
        };
        let people = &self.parts.people;
        let is_ours = |csrf| people.pepper.is_csrf_token(hash.as_bytes(), csrf);
        if changes && !matches!(shown.once(CSRF), Once::Text(csrf) if is_ours(csrf)) {
            return Some(Err(NotAuthenticated::Origin));
        }
        self.saw(session.id, self.now());
        let actor = people.principals.load().actor(&session, people.profile);
        Some(actor.ok_or(NotAuthenticated::Failed))
    }

    /// The session that a request shows by its cookie, if it is alive.
    pub(super) fn shown_session(&self, shown: &Shown<'_>) -> Option<Id<id::Session>> {
        let Once::Text(cookie) = shown.cookie(COOKIE) else { return None };
        self.of_cookie(&HashedToken::of(cookie.as_bytes())).map(|session| session.id)
    }

    fn of_cookie(&self, hash: &HashedToken) -> Option<Arc<SessionRow>> {
        let now = self.now();
        let people = &self.parts.people;
        let principals = people.principals.load();
        let session = principals.by_cookie(hash.as_bytes(), now)?;
        let idle = now.since(self.last_seen(session));
        (idle <= people.profile.lifetimes().console_idle).then(|| Arc::clone(session))
    }

    fn saw(&self, session: Id<id::Session>, now: Timestamp) {
        let mut seen = self.parts.people.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(session, now);
    }

    /// What a person is told besides about themselves.
    pub(crate) fn with_person(&self, me: MeView, actor: &Actor) -> MeView {
        let Who::Person(person) = actor.who() else { return me };
        let principals = self.parts.people.principals.load();
        let member = principals.members.get(&(me.org_id, person.user_id));
        MeView {
            email: principals.users.get(&person.user_id).map(|user| user.email.clone()),
            role: member.map(|member| member.role.clone()),
            organizations: Some(self.organizations_of(&principals, person.user_id)),
            factor_at: person.factor_at,
            session_id: Some(person.session_id),
            csrf_token: principals
                .session(person.session_id, self.now())
                .and_then(|session| session.token_hash)
                .map(|hash| self.parts.people.pepper.csrf_token(&hash).expose().to_owned()),
            ..me
        }
    }
}

enum Renewed {
    Yes(Box<SessionRow>),
    No,
    Stolen,
}

async fn renew(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    principals: &super::Principals,
    old: [u8; 32],
    new: [u8; 32],
    address: &str,
) -> Result<Renewed, Error> {
    let now = book.now;
    let Some(found) = sessions::lock_refresh(tx, old).await? else { return Ok(Renewed::No) };
    let Some(session) = principals.session(found.session_id, now) else {
        return Ok(Renewed::No);
    };
    let content = row_code::of_refresh(&shared.row_sealer, &found);
    if found.code != content {
        let detail = "A refresh token was put in or changed past the gateway: it renews nothing.";
        let (org, subject) = (session.org_id, session.id.to_string());
        shared.strangers.note(Stranger { content, org, subject, detail });
        return Ok(Renewed::No);
    }
    if found.used_at.is_some() {
        sessions::end(tx, session.id, "refresh_reuse", now).await?;
        let payload = json!({ "actor": "refresh_reuse", "user_id": session.user_id });
        book.enter(shared, session.org_id, session.id, "session.ended", &payload);
        let subject = format!("session:{}", session.id);
        let detail = "a refresh token was shown twice: its session was ended".to_owned();
        let (org, user) = (session.org_id, session.user_id);
        book.find(shared, org, "auth.refresh_reuse", Severity::Critical, subject, detail);
        tell(tx, book, shared, org, user, Notice::SessionStolen.from(address)).await?;
        return Ok(Renewed::Stolen);
    }
    sessions::insert_refresh(tx, &refresh_row(shared, new, session.id, now)).await?;
    let mut used = RefreshRow { used_at: Some(now), ..found };
    used.code = row_code::of_refresh(&shared.row_sealer, &used);
    sessions::use_refresh(tx, &used).await?;
    Ok(Renewed::Yes(Box::new(SessionRow::clone(session))))
}

/// A refresh token that was not used yet.
fn refresh_row(
    shared: &Shared,
    token_hash: [u8; 32],
    session_id: Id<id::Session>,
    issued_at: Timestamp,
) -> RefreshRow {
    let row = RefreshRow { token_hash, session_id, issued_at, used_at: None, code: [0; 32] };
    RefreshRow { code: row_code::of_refresh(&shared.row_sealer, &row), ..row }
}

/// Whether a passkey is among the methods of a session.
pub(super) fn with_method(methods: &str, method: &str) -> String {
    if methods.split(' ').any(|known| known == method) {
        methods.to_owned()
    } else {
        format!("{methods} {method}")
    }
}

/// Writes when sessions were last seen, and forgets those that have ended.
pub(crate) async fn note_seen(shared: &Arc<Shared>) {
    let now = shared.environment.now();
    let principals = shared.people.principals.load_full();
    let seen: Vec<_> = {
        let mut seen = shared.people.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|id, _| principals.session(*id, now).is_some());
        seen.iter().map(|(id, at)| (*id, *at)).collect()
    };
    if seen.is_empty() {
        return;
    }
    let written = shared
        .journal
        .write(crate::journal::Urgency::Soon, async move |tx: &mut Tx<'_>, _effects| {
            sessions::set_seen(tx, &seen).await
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "the last use of sessions was not written");
    }
}

/// What a factor is called among the methods of a session.
pub(super) const fn method_of(kind: tradewarden_domain::person::FactorKind) -> &'static str {
    use tradewarden_domain::person::FactorKind;
    match kind {
        FactorKind::Totp => "otp",
        FactorKind::Webauthn => PASSKEY_METHOD,
        FactorKind::Sms => "sms",
        FactorKind::RecoveryCode => "kba",
    }
}

/// A refusal for a person without a second factor.
pub(super) fn factor_required() -> CommandError {
    no(Code::AuthFactorRequired)
}
