//! Roles of an organization's own, and its policies about people.

use super::manage::may_grant;
use super::parse_id;
use crate::Engine;
use crate::actor::Actor;
use crate::book::Book;
use crate::command::error::{CommandError, invalid, no};
use crate::command::{PolicySet, RoleCreate};
use crate::free_text::without_card_number;
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::person::BuiltInRole;
use tradewarden_store::Tx;
use tradewarden_store::users::{self, PolicyRow, RoleRow};

/// Roles that an organization may make.
const ROLES_MAX: usize = 50;

/// The policies that need a second person, `on` or `off`.
pub(super) const FOUR_EYES: [&str; 3] =
    ["four_eyes.halt_resume", "four_eyes.limit_override", "four_eyes.admin_grant"];
const REQUIRE_FACTOR: &str = "require_factor";
/// How many days a key without an address list lives, `90` or `30`.
pub(crate) const KEY_LIFETIME_DAYS: &str = "key_lifetime_days";

impl Engine {
    pub(crate) fn roles(&self, org: Id<id::Org>) -> Value {
        let built_in = BuiltInRole::ALL.iter().map(
            |role| json!({ "name": role, "permissions": role.permissions(), "built_in": true }),
        );
        let principals = self.parts.people.principals.load();
        let own = principals.roles.values().filter(|role| role.org_id == org).map(role_view);
        let items: Vec<Value> = built_in.chain(own).collect();
        json!({ "items": items, "next": null })
    }

    pub(crate) async fn create_role(
        &self,
        org: Id<id::Org>,
        new: RoleCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=32).contains(&new.name.len()) || !new.name.bytes().all(plain) {
            return Err(invalid("name", &"must be 1 to 32 of a-z, 0-9 and _"));
        }
        without_card_number("name", &new.name)?;
        let permissions: Permissions = new.permissions;
        if permissions.is_empty() {
            return Err(invalid("permissions", &"must name at least one"));
        }
        if !actor.permissions().covers(permissions) {
            return Err(no(Code::RoleConflict));
        }
        let principals = self.parts.people.principals.load_full();
        let own = principals.roles.values().filter(|role| role.org_id == org).count();
        let taken = principals.permissions(org, &new.name).is_some();
        if taken || own >= ROLES_MAX {
            return Err(invalid("name", &"is taken, or there are 50 roles already"));
        }
        let now = self.now();
        let id = self.parts.environment.id(now);
        let role = RoleRow { id, org_id: org, name: new.name, permissions, created_at: now };
        let view = role_view(&role);
        let mut payload = json!({ "name": role.name, "permissions": permissions });
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                users::insert_role(tx, &role).await?;
                book.enter(&shared, org, role.id, "role.created", &payload);
                Ok(())
            })
            .await?;
        Ok(view)
    }

    /// Removes a role that nobody has.
    pub(crate) async fn remove_role(
        &self,
        org: Id<id::Org>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Role> = parse_id(id)?;
        let principals = self.parts.people.principals.load_full();
        let role = principals.roles.values().find(|role| role.id == id && role.org_id == org);
        let role = role.ok_or(CommandError::NotFound)?;
        may_grant(&principals, org, &role.name, actor)?;
        let name = role.name.clone();
        let mut payload = json!({ "name": role.name });
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        let removed = self
            .parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                // A disabled person has it, too: they may be enabled again.
                if users::has_role(tx, org, &name).await? {
                    return Ok(false);
                }
                users::remove_role(tx, id).await?;
                book.enter(&shared, org, id, "role.removed", &payload);
                Ok(true)
            })
            .await?;
        if removed {
            Ok(json!({ "id": id, "removed": true }))
        } else {
            Err(CommandError::Refused {
                code: Code::RoleConflict,
                detail: "Somebody has this role: give them another one first.".to_owned(),
            })
        }
    }

    pub(crate) fn policies(&self, org: Id<id::Org>) -> Value {
        let principals = self.parts.people.principals.load();
        let mut items: Vec<Value> = FOUR_EYES
            .iter()
            .map(|name| {
                let value = principals.policy(org, name).unwrap_or("off");
                json!({ "name": name, "value": value })
            })
            .collect();
        let days = principals.policy(org, KEY_LIFETIME_DAYS).unwrap_or("90");
        items.push(json!({ "name": KEY_LIFETIME_DAYS, "value": days }));
        let own = principals.roles.values().filter(|role| role.org_id == org);
        let names = BuiltInRole::ALL
            .iter()
            .map(|role| role.text().to_owned())
            .chain(own.map(|role| role.name.clone()))
            .map(|role| format!("{REQUIRE_FACTOR}.{role}"));
        for name in std::iter::once(REQUIRE_FACTOR.to_owned()).chain(names) {
            let value = principals.policy(org, &name);
            if value.is_some() || name == REQUIRE_FACTOR {
                items.push(json!({ "name": name, "value": value.unwrap_or("changes") }));
            }
        }
        json!({ "items": items, "next": null })
    }

    pub(crate) async fn set_policy(
        &self,
        org: Id<id::Org>,
        new: PolicySet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let values: &[&str] = if FOUR_EYES.contains(&new.name.as_str()) {
            &["on", "off"]
        } else if new.name == KEY_LIFETIME_DAYS {
            &["90", "30"]
        } else {
            let role = match new.name.strip_prefix(REQUIRE_FACTOR) {
                Some("") => None,
                Some(role) => Some(role.strip_prefix('.').ok_or(CommandError::NotFound)?),
                None => return Err(invalid("name", &"there is no such policy")),
            };
            let principals = self.parts.people.principals.load();
            if role.is_some_and(|role| principals.permissions(org, role).is_none()) {
                return Err(invalid("name", &"there is no such role"));
            }
            &["always", "changes"]
        };
        if !values.contains(&new.value.as_str()) {
            let detail = format!("must be {}", values.join(" or "));
            return Err(invalid("value", &detail));
        }
        let view = json!({ "name": new.name, "value": new.value });
        let mut payload = view.clone();
        actor.sign(&mut payload);
        let row = PolicyRow { org_id: org, name: new.name, value: new.value };
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                users::put_policy(tx, &row, book.now).await?;
                book.enter(&shared, org, org, "policy.set", &payload);
                Ok(())
            })
            .await?;
        Ok(view)
    }
}

fn role_view(role: &RoleRow) -> Value {
    json!({
        "id": role.id, "name": role.name, "permissions": role.permissions, "built_in": false,
        "created_at": role.created_at,
    })
}
