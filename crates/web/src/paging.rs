//! Pages of lists that the engine answers whole: each is cut here, and its `next` says where the page
//! after it begins.

use serde_json::{Value, json};
use tradewarden_engine::command::Paging;

use crate::problem::Problem;

/// Items of a page unless a caller says how many.
const ITEMS: usize = 50;
/// Longest `cursor`, in bytes; identifiers are shorter.
const CURSOR_BYTES_MAX: usize = 64;
/// What stands before the number of items, where they have no identifier.
const PLACE: &str = "at-";

/// The page that is asked for, of a list that is to be cut.
pub(crate) fn cut(mut list: Value, paging: Option<&Paging>) -> Result<Value, Problem> {
    let items = list.get_mut("items").and_then(Value::as_array_mut);
    let (Some(paging), Some(items)) = (paging, items) else { return Ok(list) };
    let limit = paging.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(ITEMS);
    let start = match &paging.cursor {
        None => 0,
        Some(cursor) => after(items, cursor)
            .ok_or_else(|| Problem::field("cursor", "It is not the `next` of a page."))?,
    };
    let end = start.saturating_add(limit);
    let next = (end < items.len()).then(|| {
        let last = end.checked_sub(1).and_then(|last| items.get(last)).and_then(id_of);
        last.map_or_else(|| format!("{PLACE}{end}"), str::to_owned)
    });
    let page: Vec<Value> = items.drain(..).skip(start).take(limit).collect();
    *items = page;
    if let Some(members) = list.as_object_mut() {
        members.insert("next".to_owned(), json!(next));
    }
    Ok(list)
}

/// How many items come before the page that begins after `cursor`. An item that is gone since is passed
/// over: lists of what has an identifier are in its order.
fn after(items: &[Value], cursor: &str) -> Option<usize> {
    if cursor.len() > CURSOR_BYTES_MAX {
        return None;
    }
    if let Some(place) = cursor.strip_prefix(PLACE) {
        return place.parse().ok();
    }
    let (kind, _) = cursor.split_once('_')?;
    if let Some(place) = items.iter().position(|item| id_of(item) == Some(cursor)) {
        return place.checked_add(1);
    }
    let is_of_kind = |id: &str| id.split_once('_').is_some_and(|(own, _)| own == kind);
    let alike = items.iter().filter_map(id_of).all(is_of_kind);
    alike.then(|| items.iter().filter(|item| id_of(item).is_some_and(|id| id < cursor)).count())
}

fn id_of(item: &Value) -> Option<&str> {
    item.get("id").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(list: &Value, limit: Option<u32>, cursor: Option<&str>) -> Result<Value, Problem> {
        cut(list.clone(), Some(&Paging { limit, cursor: cursor.map(str::to_owned) }))
    }

    #[test]
    fn every_item_is_on_one_page() {
        let ids: Vec<_> = (0..123).map(|n| json!({"id": format!("whk_{n:03}")})).collect();
        let names: Vec<_> = (0..123).map(|n| json!({"name": n})).collect();
        for (items, limit, pages) in
            [(&ids, Some(7), 18), (&names, Some(7), 18), (&ids, None, 3), (&ids, Some(123), 1)]
        {
            let list = json!({"items": items, "next": null});
            let (mut found, mut cursor, mut count) = (Vec::new(), None, 0);
            loop {
                let page = page(&list, limit, cursor.as_deref()).unwrap();
                found.extend(page["items"].as_array().unwrap().clone());
                count += 1;
                cursor = page["next"].as_str().map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!((&found, count), (items, pages));
        }
    }

    #[test]
    fn what_is_gone_since_is_passed_over() {
        let list = json!({"items": [{"id": "whk_1"}, {"id": "whk_4"}], "next": null});
        let page = |cursor| page(&list, Some(1), Some(cursor)).unwrap()["items"].clone();
        assert_eq!(page("whk_2"), json!([{"id": "whk_4"}]));
        assert_eq!(page("whk_5"), json!([]));
    }

    #[test]
    fn another_cursor_is_refused_by_its_name() {
        let list = json!({"items": [{"id": "whk_1"}], "next": null});
        for cursor in ["", "x", "at-", "at-x", "acc_1", &"w".repeat(65)] {
            assert!(page(&list, None, Some(cursor)).is_err(), "{cursor}");
        }
    }
}
