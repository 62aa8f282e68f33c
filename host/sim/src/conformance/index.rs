//! Cases of the index: listing, paging, searching, deleting.

use super::{Stores, Writer, cases, session, summary, titles, whole};
use harness_core::Sequence;
use harness_engine::ports::{
    AppendError, Archived, Said, SessionAppend, SessionCursor, SessionFilter, SessionStatus, StoreError,
};

cases![
    a_row_comes_back_as_it_was_given,
    a_session_without_events_is_not_listed,
    a_row_is_replaced_by_the_next,
    a_refused_append_leaves_the_row_alone,
    the_most_recently_updated_come_first,
    pages_join_without_gap_or_repetition,
    a_folder_is_matched_exactly,
    a_search_takes_every_character_as_it_is,
    a_search_finds_what_was_said,
    rows_are_filtered_by_what_they_are,
    a_place_in_the_list_stays_where_it_is,
    what_matches_is_counted,
    a_session_is_found_by_its_id,
    a_deleted_session_is_gone_and_its_neighbours_stay,
    a_writer_finds_its_session_deleted,
];

fn up_to(sessions_max: usize) -> SessionFilter {
    SessionFilter { sessions_max, ..SessionFilter::default() }
}

async fn add(stores: &Stores, number: u64, title: &str, workspace: &str, updated: i64) {
    let mut writer = Writer::acquire(stores, session(number)).await;
    let row = summary(session(number), title, workspace, updated);
    writer.append_with(&["created"], Vec::new(), Some(row)).await.unwrap();
}

async fn listed(stores: &Stores, filter: SessionFilter) -> Vec<u64> {
    let rows = stores.index.list(filter).await.unwrap();
    rows.iter().map(|row| (0..1_000).find(|number| session(*number) == row.session).unwrap()).collect()
}

async fn a_row_comes_back_as_it_was_given(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    for (status, cost) in
        [(SessionStatus::Idle, None), (SessionStatus::Running, Some(0)), (SessionStatus::NeedsAnswer, Some(u64::MAX))]
    {
        let mut row = summary(session(1), "Title \"quoted\" \0 日本", "/a b/c", -5);
        (row.status, row.usage.cost_micro_usd, row.last_sequence) = (status, cost, Sequence(u64::MAX >> 1));
        row.turns = u32::MAX;
        writer.append_with(&["x"], Vec::new(), Some(row.clone())).await.unwrap();
        assert_eq!(stores.index.summary(session(1)).await, Ok(row.clone()));
        assert_eq!(stores.index.list(up_to(10)).await, Ok(vec![row]));
    }
}

async fn a_session_without_events_is_not_listed(stores: Stores) {
    Writer::acquire(&stores, session(1)).await;
    assert_eq!(stores.index.list(up_to(10)).await, Ok(Vec::new()));
    assert_eq!(stores.index.summary(session(1)).await, Err(StoreError::NotFound(session(1))));
    assert_eq!(stores.index.summary(session(2)).await, Err(StoreError::NotFound(session(2))));
}

async fn a_row_is_replaced_by_the_next(stores: Stores) {
    add(&stores, 1, "before", "/w", 1).await;
    add(&stores, 1, "after", "/v", 2).await;
    let rows = stores.index.list(up_to(10)).await.unwrap();
    assert_eq!(rows, [summary(session(1), "after", "/v", 2)]);
    let search = SessionFilter { search: Some("before".to_owned()), ..up_to(10) };
    assert!(listed(&stores, search).await.is_empty());
}

async fn a_refused_append_leaves_the_row_alone(stores: Stores) {
    add(&stores, 1, "kept", "/w", 1).await;
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.epoch.0 += 1;
    let row = summary(session(1), "never", "/w", 2);
    assert!(writer.append_with(&["x"], Vec::new(), Some(row)).await.is_err());
    assert_eq!(stores.index.summary(session(1)).await.unwrap().title, "kept");
    writer.epoch.0 -= 1;
    let foreign = summary(session(2), "not mine", "/w", 2);
    assert!(matches!(writer.append_with(&["x"], Vec::new(), Some(foreign)).await, Err(AppendError::Storage(_))));
}

async fn the_most_recently_updated_come_first(stores: Stores) {
    for (number, updated) in [(1, 50), (2, 10), (3, 90), (4, 50), (5, -1)] {
        add(&stores, number, "t", "/w", updated).await;
    }
    // Of two with one time the younger id comes first.
    assert_eq!(listed(&stores, up_to(10)).await, [3, 4, 1, 2, 5]);
    assert_eq!(listed(&stores, up_to(2)).await, [3, 4]);
    assert_eq!(listed(&stores, up_to(0)).await, [0; 0]);
}

async fn pages_join_without_gap_or_repetition(stores: Stores) {
    for number in 0..11 {
        add(&stores, number, "t", "/w", 7).await;
    }
    let mut seen = Vec::new();
    for page in 0..4 {
        seen.extend(listed(&stores, SessionFilter { skip: page * 3, ..up_to(3) }).await);
    }
    assert_eq!(seen, (0..11).rev().collect::<Vec<_>>());
    assert!(listed(&stores, SessionFilter { skip: usize::MAX, ..up_to(usize::MAX) }).await.is_empty());
    assert_eq!(listed(&stores, SessionFilter { skip: 10, ..up_to(usize::MAX) }).await, [0]);
}

async fn a_folder_is_matched_exactly(stores: Stores) {
    for (number, folder) in [(1, "/w"), (2, "/w/sub"), (3, "/W"), (4, "/w%"), (5, "")] {
        add(&stores, number, "t", folder, number as i64).await;
    }
    for (number, folder) in [(1, "/w"), (2, "/w/sub"), (3, "/W"), (4, "/w%"), (5, "")] {
        let filter = SessionFilter { workspace: Some(folder.to_owned()), ..up_to(10) };
        assert_eq!(listed(&stores, filter).await, [number]);
    }
}

async fn a_search_takes_every_character_as_it_is(stores: Stores) {
    let titles = [
        "100% sure",
        "100 sure",
        "snake_case",
        "snakeXcase",
        "it's \"quoted\"",
        "back\\slash",
        "STRASSE Ünï",
        "a*b?[c]",
        "日本語",
    ];
    for (number, title) in (1..).zip(titles) {
        add(&stores, number, title, if number % 2 == 0 { "/even" } else { "/odd" }, number as i64).await;
    }
    for (text, found) in [
        ("%", vec![1]),
        ("e_c", vec![3]),
        ("0%", vec![1]),
        ("snake_", vec![3]),
        ("SNAKE", vec![4, 3]),
        ("'", vec![5]),
        ("\"", vec![5]),
        ("\\", vec![6]),
        ("ünÏ", vec![7]),
        ("*", vec![8]),
        ("[c]", vec![8]),
        ("本", vec![9]),
        ("nowhere", vec![]),
        ("", vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ] {
        let filter = SessionFilter { search: Some(text.to_owned()), ..up_to(20) };
        assert_eq!(listed(&stores, filter).await, found, "search for {text}");
    }
    let both = SessionFilter { search: Some("snake".to_owned()), workspace: Some("/even".to_owned()), ..up_to(20) };
    assert_eq!(listed(&stores, both).await, [4]);
}

async fn a_session_is_found_by_its_id(stores: Stores) {
    add(&stores, 1, "one", "/w", 1).await;
    add(&stores, 2, "two", "/w", 2).await;
    let whole_id = session(1).to_string();
    for text in [whole_id.clone(), whole_id.to_uppercase(), whole_id[4..16].to_owned()] {
        let found = listed(&stores, SessionFilter { search: Some(text.clone()), ..up_to(10) }).await;
        assert!(found.contains(&1), "{text} finds {found:?}");
    }
    assert_eq!(listed(&stores, SessionFilter { search: Some(whole_id), ..up_to(10) }).await, [1]);
}

async fn a_deleted_session_is_gone_and_its_neighbours_stay(stores: Stores) {
    for number in 1..=3 {
        add(&stores, number, "t", "/w", number as i64).await;
    }
    stores.index.delete(session(2)).await.unwrap();
    let missing = || StoreError::NotFound(session(2));
    assert_eq!(stores.index.delete(session(2)).await, Err(missing()));
    assert_eq!(stores.index.summary(session(2)).await, Err(missing()));
    assert_eq!(stores.log.tip(session(2)).await, Err(missing()));
    assert_eq!(stores.log.read(session(2), Sequence::START, 1).await, Err(missing()));
    assert_eq!(stores.lease.holder(session(2)).await, Ok(None));
    assert_eq!(listed(&stores, up_to(10)).await, [3, 1]);
    for number in [1, 3] {
        assert_eq!(titles(&*stores.log, session(number)).await, whole(&["created"]));
    }
    // Made again, it starts empty.
    let mut again = Writer::acquire(&stores, session(2)).await;
    again.append(&["fresh"]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(2)).await, whole(&["fresh"]));
}

async fn a_writer_finds_its_session_deleted(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["one"]).await.unwrap();
    stores.index.delete(session(1)).await.unwrap();
    assert_eq!(writer.append(&["two"]).await, Err(AppendError::NotFound(session(1))));
    stores.lease.release(session(1), writer.epoch).await.unwrap();
}

async fn a_search_finds_what_was_said(stores: Stores) {
    let said = [
        (1, vec!["How does the chain of headers work?", "It hashes each header."]),
        (2, vec!["Größer is better", "say \"AND OR NOT\" (twice)"]),
    ];
    for (number, texts) in said {
        let mut writer = Writer::acquire(&stores, session(number)).await;
        let titles = vec!["x"; texts.len()];
        let (append, tip) = writer.batch(&titles);
        let said = (1..).zip(texts).map(|(at, text)| Said { sequence: Sequence(at), text: text.to_owned() }).collect();
        let row = summary(session(number), "t", "/w", number as i64);
        stores.log.append(vec![SessionAppend { said, summary: Some(row), ..append }]).await.unwrap();
        writer.tip = tip;
    }
    for (text, found) in [
        ("chain headers", vec![1]),
        ("HEADERS the cha", vec![1]),
        ("cha headers", vec![]),
        ("hashes headers", vec![]),
        ("größ", vec![2]),
        ("\"AND OR", vec![2]),
        ("OR*", vec![2]),
        ("header NOT", vec![]),
        ("text:chain", vec![]),
        ("t", vec![2, 1]),
    ] {
        let filter = SessionFilter { search: Some(text.to_owned()), ..up_to(20) };
        assert_eq!(listed(&stores, filter).await, found, "search for {text}");
    }
    stores.index.delete(session(1)).await.unwrap();
    let filter = SessionFilter { search: Some("chain".to_owned()), ..up_to(20) };
    assert!(listed(&stores, filter).await.is_empty());
}

async fn rows_are_filtered_by_what_they_are(stores: Stores) {
    for number in 1..=4_u64 {
        let mut row = summary(session(number), "t", "/w", number as i64);
        row.archived = number == 1;
        row.status = if number == 2 { SessionStatus::Idle } else { SessionStatus::Running };
        row.parent = (number > 2).then(|| session(2));
        row.origin = (number == 4).then(|| session(1));
        let mut writer = Writer::acquire(&stores, session(number)).await;
        writer.append_with(&["x"], Vec::new(), Some(row.clone())).await.unwrap();
        assert_eq!(stores.index.summary(session(number)).await, Ok(row));
    }
    assert_eq!(listed(&stores, up_to(9)).await, [4, 3, 2]);
    assert_eq!(listed(&stores, SessionFilter { archived: Archived::Included, ..up_to(9) }).await, [4, 3, 2, 1]);
    assert_eq!(listed(&stores, SessionFilter { archived: Archived::Only, ..up_to(9) }).await, [1]);
    assert_eq!(listed(&stores, SessionFilter { status: Some(SessionStatus::Running), ..up_to(9) }).await, [4, 3]);
    assert_eq!(listed(&stores, SessionFilter { parent: Some(session(2)), ..up_to(9) }).await, [4, 3]);
    assert_eq!(listed(&stores, SessionFilter { parent: Some(session(1)), ..up_to(9) }).await, [0; 0]);
}

async fn a_place_in_the_list_stays_where_it_is(stores: Stores) {
    for number in 1..=6 {
        add(&stores, number, "t", "/w", (number / 2) as i64).await;
    }
    let page = stores.index.list(up_to(2)).await.unwrap();
    let after = Some(SessionCursor::after(&page[1]));
    assert_eq!(listed(&stores, up_to(2)).await, [6, 5]);
    // One comes, one goes, and the last one shown moves to the top.
    add(&stores, 7, "t", "/w", 9).await;
    stores.index.delete(session(4)).await.unwrap();
    add(&stores, 5, "t", "/w", 10).await;
    assert_eq!(listed(&stores, SessionFilter { after, ..up_to(9) }).await, [3, 2, 1]);
    assert_eq!(listed(&stores, SessionFilter { after, skip: 1, ..up_to(1) }).await, [2]);
}

async fn what_matches_is_counted(stores: Stores) {
    assert_eq!(stores.index.count(SessionFilter::default()).await, Ok(0));
    for number in 1..=5 {
        add(&stores, number, if number < 3 { "few" } else { "many" }, "/w", number as i64).await;
    }
    for (search, count) in [(None, 5), (Some("few"), 2), (Some("none"), 0)] {
        let filter = SessionFilter { search: search.map(str::to_owned), skip: 3, ..up_to(1) };
        assert_eq!(stores.index.count(filter).await, Ok(count));
    }
}
