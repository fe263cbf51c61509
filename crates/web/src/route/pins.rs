//! The rows about the pins of the public certificate's keys.

use hyper::Method;

use super::Access::Public;
use super::{Gives, Handler, Route, Takes};
use crate::pins::{APPLICATION_XML, PinsForm};
use crate::service::TEXT_PLAIN;

pub(super) const PINS: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/v1/pins",
        access: Public,
        summary: "The pins of the public certificate's keys, signed by the key of the audit log.",
        takes: Takes::Nothing,
        gives: Gives::one("Pins"),
        handler: Handler::Pins(PinsForm::Signed),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/pins/android",
        access: Public,
        summary: "The same as an Android network security configuration, unsigned.",
        takes: Takes::Nothing,
        gives: Gives::other(APPLICATION_XML),
        handler: Handler::Pins(PinsForm::Android),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/pins/ios",
        access: Public,
        summary: "The same as the part of an iOS app's Info.plist, unsigned.",
        takes: Takes::Nothing,
        gives: Gives::other(TEXT_PLAIN),
        handler: Handler::Pins(PinsForm::Ios),
    },
];
