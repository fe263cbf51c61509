//! People from outside, with the real program: logging in, second factors, sessions, roles.

#[cfg(test)]
#[path = "people/browser.rs"]
mod browser;
#[cfg(test)]
#[path = "people/chromium.rs"]
mod chromium;
#[cfg(test)]
#[path = "people/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "people/earlier.rs"]
mod earlier;
#[cfg(test)]
#[path = "people/factors.rs"]
mod factors;
#[cfg(test)]
#[path = "people/forgeries.rs"]
mod forgeries;
#[cfg(test)]
#[path = "people/halts.rs"]
mod halts;
#[cfg(test)]
#[path = "people/lockdown.rs"]
mod lockdown;
#[cfg(test)]
#[path = "people/login.rs"]
mod login;
#[cfg(test)]
#[path = "people/passkeys.rs"]
mod passkeys;
#[cfg(test)]
#[path = "people/python.rs"]
mod python;
#[cfg(test)]
#[path = "people/roles.rs"]
mod roles;
#[cfg(test)]
#[path = "people/someone.rs"]
mod someone;
#[cfg(test)]
#[path = "people/tokens.rs"]
mod tokens;
