//! The rows about people: logging in, oneself, and managing others.

use hyper::{Method, StatusCode};
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::{Command, UserChange};
use tradewarden_engine::people::{Ask, Proof};

use super::{Access, Gives, Handler, Route, Shape, Takes, command};
use crate::api::Input;
use crate::page;
use crate::problem::Problem;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;
const MANAGERS: Access = Access::Any(&[P::UsersManage]);
const SECONDS: Access = Access::Any(&[P::UsersManage, P::HaltResume, P::LimitsManage]);

const fn ask(make: fn(&Input<'_>) -> Result<Ask, Problem>) -> Handler {
    Handler::Ask(make)
}

const fn row(
    method: Method,
    path: &'static str,
    access: Access,
    summary: &'static str,
    takes: Takes,
    gives: Gives,
    handler: Handler,
) -> Route {
    Route { method, path, access, summary, takes, gives, handler }
}

const fn anybody(
    path: &'static str,
    summary: &'static str,
    takes: Takes,
    gives: &'static str,
    make: fn(&Input<'_>) -> Result<Ask, Problem>,
) -> Route {
    row(POST, path, Access::Public, summary, takes, Gives::one(gives), ask(make))
}

const fn oneself(
    method: Method,
    path: &'static str,
    summary: &'static str,
    takes: Takes,
    gives: Gives,
    make: fn(&Input<'_>) -> Result<Ask, Problem>,
) -> Route {
    row(method, path, Access::Caller, summary, takes, gives, ask(make))
}

const fn manager(
    method: Method,
    path: &'static str,
    summary: &'static str,
    takes: Takes,
    gives: Gives,
    make: fn(&Input<'_>) -> Result<Command, Problem>,
) -> Route {
    row(method, path, MANAGERS, summary, takes, gives, command(make))
}

const fn second(
    method: Method,
    path: &'static str,
    summary: &'static str,
    gives: Gives,
    make: fn(&Input<'_>) -> Result<Command, Problem>,
) -> Route {
    row(method, path, SECONDS, summary, Takes::Nothing, gives, command(make))
}

pub(super) const PEOPLE: &[Route] = &[
    anybody(
        "/api/v1/auth/login",
        "Logs in with a password: tokens, or what second factor is wanted.",
        Takes::Body("Login"),
        "LoginAnswer",
        |input| input.body().map(Ask::Login),
    ),
    anybody(
        "/api/v1/auth/factor",
        "Shows the second factor of a login.",
        Takes::Body("FactorShown"),
        "LoginAnswer",
        |input| input.body().map(Ask::Factor),
    ),
    row(
        POST,
        "/api/v1/auth/factor/sms",
        Access::Public,
        "Sends the code that a login waits for by text message.",
        Takes::Body("SmsAsked"),
        Gives { status: StatusCode::ACCEPTED, shape: Shape::One("Done") },
        ask(|input| input.body().map(Ask::SmsSend)),
    ),
    anybody(
        "/api/v1/auth/refresh",
        "Renews an access token; the refresh token is used up and comes new.",
        Takes::Body("Refresh"),
        "LoginAnswer",
        |input| input.body().map(Ask::Refresh),
    ),
    anybody(
        "/api/v1/auth/passkey/options",
        "What a browser needs to log in with a passkey and no name.",
        Takes::Nothing,
        "PasskeyOptions",
        |_| Ok(Ask::PasskeyOptions),
    ),
    anybody(
        "/api/v1/auth/passkey",
        "Logs in with a passkey.",
        Takes::Body("PasskeyLogin"),
        "LoginAnswer",
        |input| input.body().map(Ask::Passkey),
    ),
    anybody(
        "/api/v1/auth/password-reset",
        "Asks for a new password (202, whoever it is), or sets it with the token.",
        Takes::Body("PasswordReset"),
        "Done",
        |input| input.body().map(Ask::PasswordReset),
    ),
    row(
        POST,
        "/api/v1/auth/setup",
        Access::Public,
        "Makes the first owner, with the token of the link that the first start prints.",
        Takes::Body("SetUp"),
        Gives::created("User"),
        ask(|input| input.body().map(Ask::SetUp)),
    ),
    oneself(
        POST,
        "/api/v1/auth/switch",
        "Goes to another organization of one's own: this session ends, a new one begins there.",
        Takes::Body("Switch"),
        Gives::one("LoginAnswer"),
        |input| input.body().map(Ask::Switch),
    ),
    oneself(
        POST,
        "/api/v1/auth/logout",
        "Ends this session.",
        Takes::Nothing,
        Gives::one("Done"),
        |_| Ok(Ask::Logout),
    ),
    oneself(
        POST,
        "/api/v1/auth/step-up/options",
        "What a browser needs to show a passkey once more.",
        Takes::Nothing,
        Gives::one("PasskeyOptions"),
        |_| Ok(Ask::StepUpOptions),
    ),
    oneself(
        POST,
        "/api/v1/auth/step-up",
        "Shows a second factor once more, for what needs a fresh one.",
        Takes::Body("FactorProof"),
        Gives::one("SteppedUp"),
        |input| input.body::<Proof>().map(Ask::StepUp),
    ),
    oneself(
        GET,
        "/api/v1/me/factors",
        "Lists one's second factors.",
        Takes::Nothing,
        Gives::page_of("Factor"),
        |_| Ok(Ask::FactorList),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/totp",
        "Makes a secret for time-based codes, shown once; it counts once a code confirmed it.",
        Takes::Nothing,
        Gives::created("NewTotp"),
        |_| Ok(Ask::TotpBegin),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/totp/{id}/confirm",
        "Confirms it with a code.",
        Takes::Body("CodeShown"),
        Gives::one("Factor"),
        |input| Ok(Ask::TotpConfirm(input.id().id, input.body()?)),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/sms",
        "Sends a code to a phone, a weak factor; it counts once the code confirmed it.",
        Takes::Body("SmsEnrol"),
        Gives::created("NewSms"),
        |input| input.body().map(Ask::SmsBegin),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/sms/{id}/confirm",
        "Confirms it with the code.",
        Takes::Body("CodeShown"),
        Gives::one("Factor"),
        |input| Ok(Ask::SmsConfirm(input.id().id, input.body()?)),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/webauthn/options",
        "What a browser needs to make a passkey.",
        Takes::Nothing,
        Gives::one("PasskeyOptions"),
        |_| Ok(Ask::WebauthnOptions),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/webauthn",
        "Enrols a passkey.",
        Takes::Body("PasskeyEnrol"),
        Gives::created("Factor"),
        |input| input.body().map(Ask::WebauthnEnrol),
    ),
    oneself(
        POST,
        "/api/v1/me/factors/recovery-codes",
        "Makes ten recovery codes, shown once; those before are void.",
        Takes::Nothing,
        Gives::created("RecoveryCodes"),
        |_| Ok(Ask::RecoveryCodes),
    ),
    oneself(
        DELETE,
        "/api/v1/me/factors/{id}",
        "Removes a second factor; the last one stays.",
        Takes::Nothing,
        Gives::one("Done"),
        |input| Ok(Ask::FactorRemove(input.id().id)),
    ),
    oneself(
        GET,
        "/api/v1/me/sessions",
        "Lists one's sessions.",
        Takes::Nothing,
        Gives::page_of("Session"),
        |_| Ok(Ask::SessionList),
    ),
    oneself(
        DELETE,
        "/api/v1/me/sessions/{id}",
        "Ends one of them.",
        Takes::Nothing,
        Gives::one("Done"),
        |input| Ok(Ask::SessionEnd(input.id().id)),
    ),
    oneself(
        GET,
        "/api/v1/me/invitations",
        "Lists the organizations that one was asked into.",
        Takes::Nothing,
        Gives::page_of("Invitation"),
        |_| Ok(Ask::InvitationList),
    ),
    oneself(
        POST,
        "/api/v1/me/invitations/{id}/accept",
        "Joins one of them.",
        Takes::Nothing,
        Gives::one("Organization"),
        |input| Ok(Ask::InvitationAccept(input.id().id)),
    ),
    oneself(
        DELETE,
        "/api/v1/me/invitations/{id}",
        "Does not join one of them.",
        Takes::Nothing,
        Gives::one("Done"),
        |input| Ok(Ask::InvitationDecline(input.id().id)),
    ),
    row(
        GET,
        "/api/v1/organizations",
        Access::Caller,
        "Lists one's organizations; a key has one.",
        Takes::Nothing,
        Gives::page_of("Organization"),
        command(|_| Ok(Command::OrganizationList)),
    ),
    oneself(
        POST,
        "/api/v1/me/password",
        "Changes one's password; other sessions end.",
        Takes::Body("PasswordChange"),
        Gives::one("Done"),
        |input| input.body().map(Ask::PasswordChange),
    ),
    manager(GET, "/api/v1/users", "Lists people.", Takes::Nothing, Gives::page_of("User"), |_| {
        Ok(Command::UserList)
    }),
    manager(
        POST,
        "/api/v1/users",
        "Adds a person; without a password, the answer holds an invitation, once.",
        Takes::Body("UserCreate"),
        Gives::created("User"),
        |input| input.body().map(Command::UserCreate),
    ),
    manager(
        GET,
        "/api/v1/users/{id}",
        "Shows a person.",
        Takes::Nothing,
        Gives::one("User"),
        |input| Ok(Command::UserShow(input.id())),
    ),
    manager(
        PATCH,
        "/api/v1/users/{id}",
        "Gives a person another role, or lets them log in or not.",
        Takes::Body("UserChange"),
        Gives::one("User"),
        |input| {
            let change: UserChange = input.body()?;
            Ok(Command::UserChange(UserChange { id: input.id().id, ..change }))
        },
    ),
    manager(
        DELETE,
        "/api/v1/users/{id}",
        "Takes a person out of the organization.",
        Takes::Nothing,
        Gives::one("Done"),
        |input| Ok(Command::UserRemove(input.id())),
    ),
    manager(
        POST,
        "/api/v1/users/{id}/reset-password",
        "Makes a token with which the person sets a new password.",
        Takes::Nothing,
        Gives::created("ResetToken"),
        |input| Ok(Command::UserResetPassword(input.id())),
    ),
    manager(
        POST,
        "/api/v1/users/{id}/reset-factors",
        "Takes the person's second factors away.",
        Takes::Nothing,
        Gives::one("User"),
        |input| Ok(Command::UserResetFactors(input.id())),
    ),
    manager(
        POST,
        "/api/v1/users/{id}/end-sessions",
        "Ends the person's sessions.",
        Takes::Nothing,
        Gives::one("User"),
        |input| Ok(Command::UserEndSessions(input.id())),
    ),
    manager(
        GET,
        "/api/v1/roles",
        "Lists roles with their permissions.",
        Takes::Nothing,
        Gives::page_of("Role"),
        |_| Ok(Command::RoleList),
    ),
    manager(
        POST,
        "/api/v1/roles",
        "Makes a role.",
        Takes::Body("RoleCreate"),
        Gives::created("Role"),
        |input| input.body().map(Command::RoleCreate),
    ),
    manager(
        DELETE,
        "/api/v1/roles/{id}",
        "Removes a role that nobody has.",
        Takes::Nothing,
        Gives::one("Done"),
        |input| Ok(Command::RoleRemove(input.id())),
    ),
    manager(
        GET,
        "/api/v1/sessions",
        "Lists everybody's sessions.",
        Takes::Nothing,
        Gives::page_of("Session"),
        |_| Ok(Command::SessionList),
    ),
    manager(
        DELETE,
        "/api/v1/sessions/{id}",
        "Ends a session.",
        Takes::Nothing,
        Gives::one("Done"),
        |input| Ok(Command::SessionEnd(input.id())),
    ),
    manager(
        GET,
        "/api/v1/policies",
        "Lists policies about people.",
        Takes::Nothing,
        Gives::page_of("Policy"),
        |_| Ok(Command::PolicyList),
    ),
    manager(
        PUT,
        "/api/v1/policies",
        "Sets a policy about people.",
        Takes::Body("PolicySet"),
        Gives::one("Policy"),
        |input| input.body().map(Command::PolicySet),
    ),
    second(
        GET,
        "/api/v1/pending",
        "Lists what waits for a second person.",
        Gives::page_of("Pending"),
        |_| Ok(Command::PendingList),
    ),
    second(
        POST,
        "/api/v1/pending/{id}/confirm",
        "Confirms it: it is carried out.",
        Gives::one("Decided"),
        |input| Ok(Command::PendingConfirm(input.id())),
    ),
    second(POST, "/api/v1/pending/{id}/reject", "Rejects it.", Gives::one("Decided"), |input| {
        Ok(Command::PendingReject(input.id()))
    }),
    row(
        GET,
        "/.well-known/jwks.json",
        Access::Public,
        "The public keys of access tokens (RFC 7517).",
        Takes::Nothing,
        Gives { status: StatusCode::OK, shape: Shape::One("JwkSet") },
        Handler::Page(page::token_keys),
    ),
];
