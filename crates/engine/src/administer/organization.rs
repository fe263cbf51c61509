//! Which organization a command is about.

use crate::Engine;
use crate::actor::Actor;
use crate::command::error::{CommandError, invalid};
use tradewarden_domain::id::{self, Id};

impl Engine {
    /// The operator, acting in this organization: its identifier or its name. Without one, in the
    /// only organization there is; where there are several, most commands ask which one is meant.
    pub fn operator(&self, organization: Option<&str>) -> Result<Actor, CommandError> {
        let Some(text) = organization else { return Ok(Actor::operator()) };
        let found = self.organization_named(text).map_err(|_| {
            let there = self.organizations_in_words();
            invalid("organization", &format!("there is no {text:?}; there is {there}"))
        })?;
        Ok(Actor::operator_in(found.id))
    }

    /// The organization that the actor acts in.
    pub(crate) fn org_of(&self, actor: &Actor) -> Result<Id<id::Org>, CommandError> {
        if let Some(org) = actor.org() {
            return Ok(org);
        }
        let directory = self.parts.directory.load();
        match directory.organizations.as_slice() {
            [] => Err(CommandError::NotFound),
            [only] => Ok(only.id),
            [_, ..] => {
                let there = self.organizations_in_words();
                Err(invalid("organization", &format!("say which one is meant: {there}")))
            }
        }
    }

    /// The first organization, which was founded with the installation.
    pub fn org_id(&self) -> Option<Id<id::Org>> {
        self.parts.directory.load().organizations.first().map(|org| org.id)
    }

    /// Whether an operator has to say which organization is meant.
    pub fn has_several_organizations(&self) -> bool {
        self.parts.directory.load().organizations.len() > 1
    }

    fn organizations_in_words(&self) -> String {
        let directory = self.parts.directory.load();
        let all = directory.organizations.iter();
        let words: Vec<String> = all.map(|org| format!("{} ({})", org.id, org.name)).collect();
        words.join(", ")
    }
}
