//! Messages to people from outside, with the real program: mails taken by a server that others wrote,
//! text messages by a provider of the test's.

#[cfg(test)]
#[path = "messages/alerts.rs"]
mod alerts;
#[cfg(test)]
#[path = "people/earlier.rs"]
mod earlier;
#[cfg(test)]
#[path = "messages/mail.rs"]
mod mail;
#[cfg(test)]
#[path = "messages/masking.rs"]
mod masking;
#[cfg(test)]
#[path = "messages/office.rs"]
mod office;
#[cfg(test)]
#[path = "people/python.rs"]
mod python;
#[cfg(test)]
#[path = "messages/reset.rs"]
mod reset;
#[cfg(test)]
#[path = "messages/sms.rs"]
mod sms;
#[cfg(test)]
#[path = "people/someone.rs"]
mod someone;
