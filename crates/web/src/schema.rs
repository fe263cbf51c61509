//! The shapes of what is sent and taken, for the `OpenAPI` document: one table, by hand, because
//! the engine that owns the types knows no HTTP. Tests hold it against the types themselves.

use serde_json::{Map, Value, json};
use tradewarden_domain::bracket::{Leg, OnNaked};
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::key::{KeyAlgorithm, KeyState};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::order::{ChangeState, OrderState, OrderType, Side, TimeInForce};
use tradewarden_domain::permission::Permission;
use tradewarden_domain::person::FactorKind;
use tradewarden_domain::strategy::{
    OnOpposite, OpenPosition, Pyramiding, Sizing, StrategyState, SymbolSource,
};
use tradewarden_domain::tier::Tier;

use Kind::{
    Amount, Any, Count, Flag, Id, Instant, List, Named, NullableInstant, NullableObject,
    NullableText, OneOf, OrNull, Range, Text, Texts, Words,
};

/// One object.
struct Schema {
    name: &'static str,
    about: &'static str,
    /// Whether another member is an error (what we take) or may come one day (what we send).
    closed: bool,
    fields: &'static [Field],
}

/// One member.
struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
    about: &'static str,
}

enum Kind {
    Text,
    NullableText,
    NullableObject,
    Texts,
    Flag,
    /// A decimal number as text.
    Amount,
    Instant,
    NullableInstant,
    /// A whole number that is not negative.
    Count,
    /// A whole number within bounds.
    Range(u32, u32),
    /// This, or null for nothing.
    OrNull(&'static Kind),
    /// An identifier with this prefix.
    Id(&'static str),
    /// One of these words.
    OneOf(fn() -> Vec<&'static str>),
    /// Some of these words.
    Words(fn() -> Vec<&'static str>),
    /// Another schema of this table.
    Named(&'static str),
    /// A list of another schema.
    List(&'static str),
    /// A JSON object of the caller's making.
    Any,
}

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

/// All schemas, by name.
pub(crate) fn all() -> Map<String, Value> {
    let mut schemas: Map<String, Value> = SCHEMAS
        .iter()
        .chain(changes::SCHEMAS)
        .chain(lockdown::SCHEMAS)
        .chain(orders::SCHEMAS)
        .chain(overrides::SCHEMAS)
        .chain(people::SCHEMAS)
        .chain(policies::SCHEMAS)
        .chain(posture::SCHEMAS)
        .chain(profit::SCHEMAS)
        .chain(replay::SCHEMAS)
        .chain(safety::SCHEMAS)
        .map(|schema| (schema.name.to_owned(), object(schema)))
        .collect();
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.text()).collect();
    schemas.insert(
        "Code".to_owned(),
        json!({"type": "string", "description": "A stable reason.", "enum": codes}),
    );
    schemas.insert(
        "OpenApi".to_owned(),
        json!({"type": "object", "description": "An OpenAPI 3.1 document."}),
    );
    schemas
}

fn object(schema: &Schema) -> Value {
    let properties: Map<String, Value> =
        schema.fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<_> =
        schema.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut object = json!({
        "type": "object",
        "description": schema.about,
        "properties": properties,
    });
    if let Some(members) = object.as_object_mut() {
        if !required.is_empty() {
            members.insert("required".to_owned(), json!(required));
        }
        if schema.closed {
            members.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    object
}

/// The schema of an identifier with this prefix.
pub(crate) fn id(prefix: &str) -> Value {
    json!({"type": "string", "pattern": format!("^{prefix}{ID_PATTERN}$")})
}

fn property(field: &Field) -> Value {
    let mut property = value(&field.kind);
    if let Some(members) = property.as_object_mut() {
        members.insert("description".to_owned(), json!(field.about));
    }
    property
}

fn value(kind: &Kind) -> Value {
    match kind {
        Text => json!({"type": "string"}),
        NullableText => json!({"type": ["string", "null"]}),
        NullableObject => json!({"type": ["object", "null"]}),
        Texts => json!({"type": "array", "items": {"type": "string"}}),
        Flag => json!({"type": "boolean"}),
        Amount => json!({"type": "string", "pattern": AMOUNT_PATTERN}),
        Instant => json!({"type": "string", "format": "date-time"}),
        NullableInstant => json!({"type": ["string", "null"], "format": "date-time"}),
        Count => json!({"type": "integer", "format": "int64", "minimum": 0}),
        Range(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Id(prefix) => id(prefix),
        OneOf(words) => json!({"type": "string", "enum": words()}),
        Words(words) => {
            json!({"type": "array", "items": {"type": "string", "enum": words()}})
        }
        Named(name) => json!({"$ref": reference(name)}),
        List(name) => json!({"type": "array", "items": {"$ref": reference(name)}}),
        Any => json!({"type": "object"}),
        OrNull(kind) => json!({"anyOf": [value(kind), {"type": "null"}]}),
    }
}

/// Where a schema is found in the document.
pub(crate) fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// A page of such objects.
pub(crate) fn page_of(name: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": reference(name)}},
            "next": {
                "type": ["string", "null"],
                "description": "Give it as `cursor` to read on; null at the end.",
            },
        },
        "required": ["items", "next"],
    })
}

const AMOUNT_PATTERN: &str = "^-?[0-9]{1,11}(\\.[0-9]{1,8})?$";
const ID_PATTERN: &str = "[0-7][0-9a-hjkmnp-tv-z]{25}";

fn texts<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|word| text(*word)).collect()
}

const SIDE: Kind = OneOf(|| texts(Side::ALL, Side::text));
const ORDER_TYPE: Kind = OneOf(|| texts(OrderType::ALL, OrderType::text));
const TIME_IN_FORCE: Kind = OneOf(|| texts(TimeInForce::ALL, TimeInForce::text));
const CHANGE_STATE: Kind = OneOf(|| texts(ChangeState::ALL, ChangeState::text));
const ORDER_STATE: Kind = OneOf(|| texts(OrderState::ALL, OrderState::text));
const ON_NAKED: Kind = OneOf(|| texts(OnNaked::ALL, OnNaked::text));
const LEG: Kind = OneOf(|| texts(Leg::ALL, Leg::text));
const STRATEGY_STATE: Kind = OneOf(|| texts(StrategyState::ALL, StrategyState::text));
const OPEN_POSITION: Kind = OneOf(|| texts(OpenPosition::ALL, OpenPosition::text));
const SIZING: Kind = OneOf(|| texts(Sizing::ALL, Sizing::text));
const ON_OPPOSITE: Kind = OneOf(|| texts(OnOpposite::ALL, OnOpposite::text));
const PYRAMIDING: Kind = OneOf(|| texts(Pyramiding::ALL, Pyramiding::text));
const SYMBOL_SOURCE: Kind = OneOf(|| texts(SymbolSource::ALL, SymbolSource::text));
const HALT_MODE: Kind = OneOf(|| texts(HaltMode::ALL, HaltMode::text));
const LOCKDOWN_STEP: Kind = OneOf(|| texts(Step::ALL, Step::text));
const LOCKDOWN_POSITIONS: Kind = OneOf(|| texts(Positions::ALL, Positions::text));
const LIMIT_NAME: Kind = OneOf(|| texts(LimitName::ALL, LimitName::text));
const LOSS_RESET: Kind = OneOf(|| texts(LossReset::ALL, LossReset::text));
const KEY_ALGORITHM: Kind = OneOf(|| texts(KeyAlgorithm::ALL, KeyAlgorithm::text));
const KEY_STATE: Kind = OneOf(|| texts(KeyState::ALL, KeyState::text));
const TIER: Kind = OneOf(|| texts(Tier::ALL, Tier::text));

fn permissions() -> Vec<&'static str> {
    texts(Permission::ALL, Permission::text)
}

const ANSWERED: Kind = OneOf(|| vec!["accepted", "duplicate", "skipped", "dry_run"]);
const OUTCOME: Kind = OneOf(|| vec!["accepted", "duplicate", "skipped", "dry_run", "refused"]);
const FACTOR: Kind = OneOf(|| texts(FactorKind::ALL, FactorKind::text));
const ACTIVITY: Kind = OneOf(|| vec!["active", "disabled"]);
const MEMBER: Kind = OneOf(|| vec!["active", "disabled", "invited"]);

mod changes;
mod lockdown;
mod orders;
mod overrides;
mod people;
mod policies;
mod posture;
mod profit;
mod replay;
mod safety;
mod table;
use table::SCHEMAS;

#[cfg(test)]
mod tests;
