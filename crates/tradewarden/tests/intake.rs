//! Signals in, over HTTPS, with the real program: every answer of the product page, section 2.

#[cfg(test)]
#[path = "intake/address.rs"]
mod address;
#[cfg(test)]
#[path = "intake/answers.rs"]
mod answers;
#[cfg(test)]
#[path = "intake/client_certificate.rs"]
mod client_certificate;
#[cfg(test)]
#[path = "intake/credentials.rs"]
mod credentials;
#[cfg(test)]
#[path = "intake/door.rs"]
mod door;
#[cfg(test)]
#[path = "intake/duplicates.rs"]
mod duplicates;
#[cfg(test)]
#[path = "intake/forms.rs"]
mod forms;
#[cfg(test)]
#[path = "intake/published.rs"]
mod published;
#[cfg(test)]
#[path = "people/python.rs"]
mod python;
#[cfg(test)]
#[path = "intake/rates.rs"]
mod rates;
#[cfg(test)]
#[path = "intake/risk.rs"]
mod risk;
#[cfg(test)]
#[path = "intake/rotation.rs"]
mod rotation;
#[cfg(test)]
#[path = "intake/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "intake/strategy.rs"]
mod strategy;
