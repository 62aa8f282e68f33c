//! The chain: whatever was changed in a stored log shows.

use crate::notation::fold_all;
use crate::properties::play;
use harness_core::envelope::{Lineage, Payload, SealContext, VerifyError, seal, verify};
use harness_core::*;
use proptest::prelude::*;

const SESSION: SessionId = SessionId::from_bits(7);

/// What is stored of one event.
pub(crate) type Stored = (Vec<u8>, Option<Payload>);

pub(crate) fn sealed(batches: &[Vec<Event>]) -> (Vec<Stored>, Tip) {
    let mut tip = Tip::START;
    let mut log = Vec::new();
    let mut counter = 0u128;
    for (number, batch) in batches.iter().enumerate() {
        let context = SealContext {
            tenant: TenantId::local(),
            session: SESSION,
            lineage: Lineage::root_of(SESSION),
            time: TimeMs(1_700_000_000_000 + number as i64),
            actor: Actor::Principal("person".to_owned()),
        };
        let salts = || {
            counter += 0x9e37_79b9_7f4a_7c15;
            counter.to_be_bytes()
        };
        let (events, next) = seal(tip, &context, batch, salts);
        log.extend(events.into_iter().map(|event| (event.header_bytes, event.payload)));
        tip = next;
    }
    (log, tip)
}

/// Verifies a log from a position on.
pub(crate) fn verify_all(mut tip: Tip, log: &[Stored]) -> Result<(Vec<SealedEvent>, Tip), VerifyError> {
    let mut events = Vec::new();
    for (header, payload) in log {
        let (sealed, next) = verify(tip, header.clone(), payload.clone())?;
        sealed.event()?;
        events.push(sealed);
        tip = next;
    }
    Ok((events, tip))
}

fn small_log() -> (Vec<Stored>, Tip) {
    let prompt = |number: usize| {
        let limits = event::TurnLimits::default();
        Event::PromptReceived { entropy: format!("{number}"), text: "hi".into(), limits }
    };
    let batches: Vec<Vec<Event>> = (0..4).map(|number| vec![prompt(number), Event::RetryDue]).collect();
    sealed(&batches)
}

#[test]
fn a_flipped_bit_in_any_byte_shows() {
    let (log, head) = small_log();
    let tips: Vec<Tip> = (0..log.len()).map(|end| verify_all(Tip::START, &log[..end]).unwrap().1).collect();
    let shows = |index: usize, changed: Stored| {
        let mut log = log[index..].to_vec();
        log[0] = changed;
        // A change in the last header is found by whoever kept the head's hash.
        !verify_all(tips[index], &log).is_ok_and(|(_, tip)| tip == head)
    };
    for (index, (header, payload)) in log.iter().enumerate() {
        let payload = payload.clone().unwrap();
        for mask in [0x01, 0x20, 0x80] {
            for at in 0..header.len() {
                let mut changed = header.clone();
                changed[at] ^= mask;
                assert!(shows(index, (changed, Some(payload.clone()))), "header {index}, byte {at}, mask {mask}");
            }
            for at in 0..payload.bytes.len() {
                let mut changed = payload.clone();
                changed.bytes[at] ^= mask;
                assert!(shows(index, (header.clone(), Some(changed))), "payload {index}, byte {at}, mask {mask}");
            }
            for at in 0..payload.salt.len() {
                let mut changed = payload.clone();
                changed.salt[at] ^= mask;
                assert!(shows(index, (header.clone(), Some(changed))), "salt {index}, byte {at}, mask {mask}");
            }
        }
    }
}

#[test]
fn removed_repeated_and_swapped_events_show() {
    let (log, head) = small_log();
    let broken = |change: &dyn Fn(&mut Vec<Stored>)| {
        let mut log = log.clone();
        change(&mut log);
        !verify_all(Tip::START, &log).is_ok_and(|(_, tip)| tip == head)
    };
    assert!(!broken(&|_| {}));
    for index in 0..log.len() {
        assert!(broken(&|log| drop(log.remove(index))));
        assert!(broken(&|log| log.insert(index, log[index].clone())));
        assert!(index == 0 || broken(&|log| log.swap(index - 1, index)));
        assert!(index == 0 || broken(&|log| log.truncate(index)));
    }
}

#[test]
fn a_payload_of_another_kind_does_not_pass_for_an_event() {
    let (mut sealed, _) = seal(
        Tip::START,
        &SealContext {
            tenant: TenantId::local(),
            session: SESSION,
            lineage: Lineage::root_of(SESSION),
            time: TimeMs(0),
            actor: Actor::Host,
        },
        &[Event::RetryDue],
        || [0; 16],
    );
    sealed[0].payload = Some(Payload { salt: [0; 16], bytes: Event::InterruptRequested.encode() });
    assert!(matches!(sealed[0].event(), Err(VerifyError::Event { .. })));
}

#[test]
fn a_newer_envelope_is_named() {
    let (log, _) = small_log();
    let header = String::from_utf8(log[0].0.clone()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
    assert!(matches!(verify(Tip::START, header.into_bytes(), None), Err(VerifyError::Version(2))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sealed_verifies_with_any_payloads_erased(
        moves in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..60),
        erased in any::<u64>(),
    ) {
        let (state, batches) = play(&moves);
        let (mut log, head) = sealed(&batches);
        let (events, tip) = verify_all(Tip::START, &log).unwrap();
        prop_assert_eq!(tip, head);
        let mut input = Sequence::START;
        for (index, sealed) in events.iter().enumerate() {
            let header = &sealed.header;
            prop_assert_eq!(header.sequence, Sequence(index as u64 + 1));
            match header.origin {
                Origin::Input => (input, _) = (header.sequence, prop_assert_eq!(header.cause, None)),
                Origin::Derived => prop_assert_eq!((header.cause, &header.actor), (Some(input), &Actor::Host)),
            }
        }
        let read: Vec<Event> = events.iter().map(|sealed| sealed.event().unwrap().unwrap()).collect();
        prop_assert_eq!(fold_all(read.iter()), state);
        for (index, stored) in log.iter_mut().enumerate() {
            if erased >> (index % 64) & 1 > 0 {
                stored.1 = None;
            }
        }
        prop_assert_eq!(verify_all(Tip::START, &log).unwrap().1, head);
    }
}
