//! Cases of checkpoints: kept with an append, found by position, dropped with what they stand on.

use super::{Stores, Writer, cases, session};
use harness_core::{Sequence, Tip};
use harness_engine::ports::{Checkpoint, CheckpointWrite, SessionAppend};

cases![
    a_checkpoint_is_found_by_its_position,
    segments_come_in_order_and_in_pieces,
    segments_that_changed_take_their_checkpoints_along,
    a_checkpoint_without_its_segments_is_not_kept,
    a_refused_append_keeps_no_checkpoint,
    erasing_drops_checkpoints_for_good,
    dropped_checkpoints_are_gone,
];

fn write(tip: Tip, kept: u32, fresh: &[&str]) -> CheckpointWrite {
    let segments = kept + fresh.len() as u32;
    let state = format!("state at {}", tip.sequence).into_bytes();
    CheckpointWrite {
        checkpoint: Checkpoint { tip, core: 7, format: 3, state, segments },
        segments_kept: kept,
        segments: fresh.iter().map(|segment| segment.as_bytes().to_vec()).collect(),
    }
}

/// Appends an event and a checkpoint of the log before it.
async fn keep(stores: &Stores, writer: &mut Writer, kept: u32, fresh: &[&str]) {
    let (append, tip) = writer.batch(&["x"]);
    let checkpoint = Some(write(writer.tip, kept, fresh));
    stores.log.append(vec![SessionAppend { checkpoint, ..append }]).await.unwrap();
    writer.tip = tip;
}

async fn newest(stores: &Stores, up_to: u64) -> Option<u64> {
    let found = stores.log.checkpoint(session(1), Sequence(up_to)).await.unwrap();
    found.map(|found| {
        let sequence = found.tip.sequence;
        assert_eq!((found.core, found.format, found.state), (7, 3, format!("state at {sequence}").into_bytes()));
        sequence.0
    })
}

async fn segments(stores: &Stores) -> Vec<String> {
    let found = stores.log.segments(session(1), 0, usize::MAX).await.unwrap();
    found.into_iter().map(|segment| String::from_utf8(segment).unwrap()).collect()
}

async fn a_checkpoint_is_found_by_its_position(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1", "2"]).await.unwrap();
    assert_eq!(newest(&stores, u64::MAX).await, None);
    keep(&stores, &mut writer, 0, &["a"]).await;
    keep(&stores, &mut writer, 1, &[]).await;
    keep(&stores, &mut writer, 1, &["b"]).await;
    for (up_to, found) in [(0, None), (1, None), (2, Some(2)), (3, Some(3)), (4, Some(4)), (u64::MAX, Some(4))] {
        assert_eq!(newest(&stores, up_to).await, found, "up to {up_to}");
    }
    Writer::acquire(&stores, session(2)).await.append(&["1"]).await.unwrap();
    assert_eq!(stores.log.checkpoint(session(2), Sequence(u64::MAX)).await, Ok(None));
}

async fn segments_come_in_order_and_in_pieces(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1"]).await.unwrap();
    keep(&stores, &mut writer, 0, &["aaaa", "bbbb", "cccc"]).await;
    keep(&stores, &mut writer, 3, &["dddd"]).await;
    for (first, bytes_max, found) in [
        (0, usize::MAX, vec!["aaaa", "bbbb", "cccc", "dddd"]),
        (0, 1, vec!["aaaa"]),
        (1, 5, vec!["bbbb", "cccc"]),
        (3, 100, vec!["dddd"]),
        (4, 100, vec![]),
    ] {
        let read = stores.log.segments(session(1), first, bytes_max).await.unwrap();
        assert_eq!(read, found.into_iter().map(|it| it.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

async fn segments_that_changed_take_their_checkpoints_along(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1"]).await.unwrap();
    keep(&stores, &mut writer, 0, &["a"]).await;
    keep(&stores, &mut writer, 1, &["b"]).await;
    keep(&stores, &mut writer, 2, &["c"]).await;
    keep(&stores, &mut writer, 1, &["d"]).await;
    assert_eq!(segments(&stores).await, ["a", "d"]);
    assert_eq!(newest(&stores, u64::MAX).await, Some(4));
    assert_eq!(newest(&stores, 3).await, Some(1));
}

async fn a_checkpoint_without_its_segments_is_not_kept(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1"]).await.unwrap();
    keep(&stores, &mut writer, 1, &["b"]).await;
    assert_eq!((newest(&stores, u64::MAX).await, segments(&stores).await), (None, Vec::new()));
    let (append, tip) = writer.batch(&["x"]);
    let mut wrong = write(writer.tip, 0, &["a"]);
    wrong.checkpoint.segments = 2;
    stores.log.append(vec![SessionAppend { checkpoint: Some(wrong), ..append }]).await.unwrap();
    assert_eq!(newest(&stores, u64::MAX).await, None);
    assert_eq!(stores.log.tip(session(1)).await, Ok(tip), "the append stands");
}

async fn a_refused_append_keeps_no_checkpoint(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1"]).await.unwrap();
    writer.epoch.0 += 1;
    let (append, _) = writer.batch(&["x"]);
    let checkpoint = Some(write(writer.tip, 0, &["a"]));
    stores.log.append(vec![SessionAppend { checkpoint, ..append }]).await.unwrap_err();
    assert_eq!((newest(&stores, u64::MAX).await, segments(&stores).await), (None, Vec::new()));
}

async fn erasing_drops_checkpoints_for_good(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1", "2"]).await.unwrap();
    keep(&stores, &mut writer, 0, &["secret"]).await;
    stores.log.erase_payload(session(1), Sequence(1)).await.unwrap();
    assert_eq!((newest(&stores, u64::MAX).await, segments(&stores).await), (None, Vec::new()));
    // A writer that still has it in memory brings it back in vain.
    keep(&stores, &mut writer, 1, &["more"]).await;
    keep(&stores, &mut writer, 0, &["secret"]).await;
    assert_eq!((newest(&stores, u64::MAX).await, segments(&stores).await), (None, Vec::new()));
}

async fn dropped_checkpoints_are_gone(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["1"]).await.unwrap();
    keep(&stores, &mut writer, 0, &["a"]).await;
    stores.log.drop_checkpoints(session(1)).await.unwrap();
    assert_eq!((newest(&stores, u64::MAX).await, segments(&stores).await), (None, Vec::new()));
    keep(&stores, &mut writer, 0, &["a"]).await;
    assert_eq!(newest(&stores, u64::MAX).await, Some(2));
    stores.index.delete(session(1)).await.unwrap();
    Writer::acquire(&stores, session(1)).await.append(&["1"]).await.unwrap();
    assert_eq!((newest(&stores, u64::MAX).await, segments(&stores).await), (None, Vec::new()));
}
