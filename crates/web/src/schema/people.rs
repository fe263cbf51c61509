//! The shapes of what is sent and taken about people.

use super::{
    ACTIVITY, Any, Count, FACTOR, Flag, Id, Instant, List, Schema, Text, Texts, may, must,
};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "LoginAnswer",
        about: "The tokens of a session; or the session, if it is shown by a cookie; or what second \
                factor is wanted before there is one.",
        closed: false,
        fields: &[
            may("access_token", Text, "Goes into `Authorization: Bearer`."),
            may("refresh_token", Text, "Makes a new pair, once."),
            may("token_type", Text, "`Bearer`."),
            may("expires_in", Count, "Seconds for which the access token or challenge is taken."),
            may("factor_required", Flag, "True, and nothing above but `expires_in`."),
            may("challenge_id", Text, "Goes with the second factor."),
            may("factors", List("FactorOffered"), "Any one of these."),
            may("session_id", Id("ses_"), "The session, if a cookie shows it."),
            may("user_id", Id("usr_"), "Whose it is."),
            may("org_id", Id("org_"), "In which organization."),
            may("expires_at", Instant, "When it ends whatever happens."),
        ],
    },
    Schema {
        name: "FactorOffered",
        about: "A second factor that a login may be finished with.",
        closed: false,
        fields: &[
            must("type", FACTOR, "Of which kind."),
            may("options", Any, "For `navigator.credentials.get`, of a passkey."),
        ],
    },
    Schema {
        name: "PasskeyOptions",
        about: "What a browser needs for a passkey.",
        closed: false,
        fields: &[
            must("challenge_id", Text, "Goes with what the browser gives."),
            must("options", Any, "`PublicKeyCredential.parse...OptionsFromJSON` takes it."),
        ],
    },
    Schema {
        name: "SteppedUp",
        about: "That a second factor was shown.",
        closed: false,
        fields: &[must("factor_at", Instant, "When.")],
    },
    Schema {
        name: "Done",
        about: "What was done.",
        closed: false,
        fields: &[
            may("id", Text, "To what."),
            may("status", Text, "`accepted`, for a request that is answered whoever asks."),
            may("ended", Flag, "The session is over."),
            may("removed", Flag, "It is gone."),
            may("changed", Flag, "The password is another one."),
        ],
    },
    Schema {
        name: "Factor",
        about: "A second factor.",
        closed: false,
        fields: &[
            may("id", Id("fac_"), "Its identifier; recovery codes have none."),
            must("type", FACTOR, "Of which kind."),
            may("name", Text, "What its owner calls it."),
            may("confirmed", Flag, "Whether it counts."),
            may("created_at", Instant, "When it was made."),
            may("last_used_at", Instant, "When it was last shown; null if never."),
            may("left", Count, "How many recovery codes are left."),
        ],
    },
    Schema {
        name: "NewTotp",
        about: "A new secret for time-based codes, shown once.",
        closed: false,
        fields: &[
            must("id", Id("fac_"), "The factor."),
            must("type", FACTOR, "`totp`."),
            must("secret", Text, "In base32."),
            must("uri", Text, "`otpauth://totp/...`."),
            must("qr_svg", Text, "The same as a QR code, an SVG image."),
        ],
    },
    Schema {
        name: "RecoveryCodes",
        about: "Recovery codes, shown once.",
        closed: false,
        fields: &[must("codes", Texts, "Ten, each good for one login.")],
    },
    Schema {
        name: "Session",
        about: "A session.",
        closed: false,
        fields: &[
            must("id", Id("ses_"), "Its identifier."),
            must("user_id", Id("usr_"), "Whose it is."),
            must("kind", Text, "`token` or `cookie`."),
            must("methods", Texts, "What was shown for it (RFC 8176)."),
            must("address", Text, "From where."),
            must("user_agent", Text, "By which program, as it calls itself."),
            must("authenticated_at", Instant, "When it began."),
            must("factor_at", Instant, "When a second factor was last shown; null if never."),
            must("last_seen_at", Instant, "When it was last used, within a minute."),
            must("expires_at", Instant, "When it ends whatever happens."),
            must("current", Flag, "Whether it is the one that asks."),
        ],
    },
    Schema {
        name: "User",
        about: "A person.",
        closed: false,
        fields: &[
            must("id", Id("usr_"), "The identifier."),
            must("email", Text, "The e-mail."),
            must("role", Text, "The role in this organization."),
            must("state", ACTIVITY, "Whether the person may log in."),
            must("factors", Texts, "The kinds of second factors that are enrolled."),
            must("created_at", Instant, "When the person was added."),
            may("invite_token", Text, "Sets the password, once, within a day; shown once."),
        ],
    },
    Schema {
        name: "ResetToken",
        about: "A token with which a person sets a new password.",
        closed: false,
        fields: &[
            must("id", Id("usr_"), "The person."),
            must("token", Text, "Shown once; goes to `POST /api/v1/auth/password-reset`."),
            must("expires_in", Count, "Seconds for which it is taken."),
        ],
    },
    Schema {
        name: "Role",
        about: "A role.",
        closed: false,
        fields: &[
            may("id", Id("rol_"), "Its identifier; built-in roles have none."),
            must("name", Text, "What it is called."),
            must("permissions", Texts, "What it may do."),
            must("built_in", Flag, "Whether every organization has it."),
            may("created_at", Instant, "When it was made."),
        ],
    },
    Schema {
        name: "Policy",
        about: "A policy about people.",
        closed: false,
        fields: &[must("name", Text, "Which."), must("value", Text, "What it is.")],
    },
    Schema {
        name: "Pending",
        about: "What waits for a second person.",
        closed: false,
        fields: &[
            must("status", Text, "`pending`."),
            must("pending_id", Id("pnd_"), "Its identifier."),
            must("summary", Text, "What is to be done."),
            must("requested_by", Id("usr_"), "Who asked."),
            must("requested_at", Instant, "When."),
            must("expires_at", Instant, "Until when it may be confirmed."),
        ],
    },
    Schema {
        name: "Decided",
        about: "What became of it.",
        closed: false,
        fields: &[
            must("status", Text, "`confirmed` or `rejected`."),
            must("pending_id", Id("pnd_"), "Its identifier."),
            may("result", Any, "What carrying it out answered."),
        ],
    },
    Schema {
        name: "JwkSet",
        about: "Public keys (RFC 7517).",
        closed: false,
        fields: &[must("keys", List("Jwk"), "The one that signs, and those before it.")],
    },
    Schema {
        name: "Jwk",
        about: "A public key of Ed25519 (RFC 8037).",
        closed: false,
        fields: &[
            must("kty", Text, "`OKP`."),
            must("crv", Text, "`Ed25519`."),
            must("use", Text, "`sig`."),
            must("alg", Text, "`EdDSA`."),
            must("kid", Text, "Its name in a token's header."),
            must("x", Text, "The key, in base64url."),
        ],
    },
    Schema {
        name: "Login",
        about: "E-mail and password.",
        closed: true,
        fields: &[
            must("email", Text, "The e-mail."),
            must("password", Text, "The password."),
            may("cookie", Flag, "Whether a cookie is to show the session."),
            may("org_id", Id("org_"), "The organization; the first one if absent."),
        ],
    },
    Schema {
        name: "FactorShown",
        about: "The second factor of a login.",
        closed: true,
        fields: &[
            must("challenge_id", Text, "What the login answered."),
            must("type", FACTOR, "Of which kind."),
            may("code", Text, "The code, but for a passkey."),
            may("credential", Any, "What the browser gave, of a passkey."),
        ],
    },
    Schema {
        name: "FactorProof",
        about: "A second factor.",
        closed: true,
        fields: &[
            must("type", FACTOR, "Of which kind."),
            may("code", Text, "The code, but for a passkey."),
            may("credential", Any, "What the browser gave, of a passkey."),
            may("challenge_id", Text, "What the options named, of a passkey."),
        ],
    },
    Schema {
        name: "Refresh",
        about: "A refresh token.",
        closed: true,
        fields: &[must("refresh_token", Text, "The token.")],
    },
    Schema {
        name: "PasskeyLogin",
        about: "A login by passkey.",
        closed: true,
        fields: &[
            must("challenge_id", Text, "What the options named."),
            must("credential", Any, "What the browser gave."),
            may("cookie", Flag, "Whether a cookie is to show the session."),
            may("org_id", Id("org_"), "The organization; the first one if absent."),
        ],
    },
    Schema {
        name: "PasswordReset",
        about: "`email`, to ask for it; or `token` and `password`, to set it.",
        closed: true,
        fields: &[
            may("email", Text, "Whose."),
            may("token", Text, "What was handed out."),
            may("password", Text, "The new password."),
        ],
    },
    Schema {
        name: "SetUp",
        about: "The first owner.",
        closed: true,
        fields: &[
            must("token", Text, "What stands in the link."),
            must("email", Text, "The owner's e-mail."),
            must("password", Text, "The owner's password."),
        ],
    },
    Schema {
        name: "CodeShown",
        about: "A code.",
        closed: true,
        fields: &[must("code", Text, "Six digits.")],
    },
    Schema {
        name: "PasskeyEnrol",
        about: "A new passkey.",
        closed: true,
        fields: &[
            must("challenge_id", Text, "What the options named."),
            must("credential", Any, "What the browser gave."),
            may("name", Text, "What its owner calls it, 1 to 64 characters."),
        ],
    },
    Schema {
        name: "PasswordChange",
        about: "Another password.",
        closed: true,
        fields: &[
            must("current", Text, "The password until now."),
            must("new", Text, "The password from now on."),
        ],
    },
    Schema {
        name: "UserCreate",
        about: "A person to be.",
        closed: true,
        fields: &[
            must("email", Text, "The e-mail, plain ASCII."),
            must("role", Text, "A built-in role, or one of the organization's own."),
            may("password", Text, "The password; absent makes an invitation."),
        ],
    },
    Schema {
        name: "UserChange",
        about: "What changes about a person.",
        closed: true,
        fields: &[
            may("role", Text, "Another role."),
            may("state", ACTIVITY, "Whether the person may log in."),
        ],
    },
    Schema {
        name: "RoleCreate",
        about: "A role to be.",
        closed: true,
        fields: &[
            must("name", Text, "1 to 32 of a-z, 0-9 and `_`."),
            must("permissions", Texts, "What it may do."),
        ],
    },
    Schema {
        name: "PolicySet",
        about: "A policy about people.",
        closed: true,
        fields: &[
            must(
                "name",
                Text,
                "`four_eyes.halt_resume`, `four_eyes.limit_override`, `four_eyes.admin_grant`, \
                 `require_factor` or `require_factor.ROLE`.",
            ),
            must("value", Text, "`on` or `off`; of the last two, `always` or `changes`."),
        ],
    },
];
