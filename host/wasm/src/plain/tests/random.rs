//! Random types and random JSON of a type, in its normal form, from one number.

use crate::plain::types::{Integer, SAFE_INTEGER_MAX, ValueType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A stream of numbers (xorshift64*), the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, sides: u64) -> u64 {
        (self.any() >> 11) % sides
    }
}

fn names(dice: &mut Dice, word: &str) -> Vec<String> {
    (0..=dice.below(3)).map(|number| format!("{word}-n{number}")).collect()
}

fn boxed(dice: &mut Dice, depth: u64) -> Box<ValueType> {
    Box::new(value_type(dice, depth - 1))
}

/// A type of at most so many levels.
pub(super) fn value_type(dice: &mut Dice, depth: u64) -> ValueType {
    const INTEGERS: [Integer; 8] =
        [Integer::S8, Integer::U8, Integer::S16, Integer::U16, Integer::S32, Integer::U32, Integer::S64, Integer::U64];
    match dice.below(if depth > 1 { 19 } else { 9 }) {
        0 => ValueType::Bool,
        1 => ValueType::F32,
        2 => ValueType::F64,
        3 => ValueType::Char,
        4 => ValueType::String,
        5 => ValueType::Bytes,
        6 => ValueType::Enum(names(dice, "e")),
        7 => ValueType::Flags(names(dice, "g")),
        8 | 9 => ValueType::Integer(INTEGERS[dice.below(8) as usize]),
        10 => ValueType::list(value_type(dice, depth - 1)),
        11 => ValueType::FixedList(boxed(dice, depth), dice.below(3) as u32 + 1),
        12 => {
            let key = if dice.below(2) == 0 { ValueType::String } else { ValueType::Integer(Integer::U16) };
            ValueType::Map(Box::new(key), boxed(dice, depth))
        }
        13 => ValueType::Record(names(dice, "f").into_iter().map(|name| (name, value_type(dice, depth - 1))).collect()),
        14 => ValueType::Tuple((0..=dice.below(3)).map(|_| value_type(dice, depth - 1)).collect()),
        15 => {
            let case = |name| (name, (dice.below(2) == 0).then(|| value_type(dice, depth - 1)));
            ValueType::Variant(names(&mut Dice::new(depth), "c").into_iter().map(case).collect())
        }
        16 | 17 => ValueType::Option(boxed(dice, depth)),
        _ => {
            let mut side = || (dice.below(2) == 0).then(|| boxed(dice, depth));
            ValueType::Result(side(), side())
        }
    }
}

/// JSON of a type, as `results` writes it.
pub(super) fn value(dice: &mut Dice, ty: &ValueType) -> Value {
    match ty {
        ValueType::Bool => json!(dice.below(2) == 0),
        ValueType::Integer(kind) => integer(dice, *kind),
        ValueType::F32 => match dice.below(4) {
            0 => json!(["NaN", "Infinity", "-Infinity"][dice.below(3) as usize]),
            _ => float(f32::from_bits(dice.any() as u32 & 0xbf7f_ffff).to_string().parse().unwrap()),
        },
        ValueType::F64 => match dice.below(4) {
            0 => json!(["NaN", "Infinity", "-Infinity"][dice.below(3) as usize]),
            _ => float(f64::from_bits(dice.any() & 0xbfef_ffff_ffff_ffff)),
        },
        ValueType::Char => json!(character(dice).to_string()),
        ValueType::String => json!((0..dice.below(5)).map(|_| character(dice)).collect::<String>()),
        ValueType::Bytes => json!(STANDARD.encode((0..dice.below(9)).map(|_| dice.any() as u8).collect::<Vec<_>>())),
        ValueType::List(element) => (0..dice.below(4)).map(|_| value(dice, element)).collect(),
        ValueType::FixedList(element, length) => (0..*length).map(|_| value(dice, element)).collect(),
        ValueType::Map(key, ty) if **key == ValueType::String => {
            Value::Object((0..dice.below(3)).map(|at| (format!("k{at}"), value(dice, ty))).collect())
        }
        ValueType::Map(_, ty) => (0..dice.below(3)).map(|at| json!([at, value(dice, ty)])).collect(),
        ValueType::Record(fields) => {
            Value::Object(fields.iter().map(|(name, ty)| (name.clone(), value(dice, ty))).collect())
        }
        ValueType::Tuple(types) => types.iter().map(|ty| value(dice, ty)).collect(),
        ValueType::Variant(cases) => match &cases[dice.below(cases.len() as u64) as usize] {
            (name, None) => json!(name),
            (name, Some(ty)) => field(name, value(dice, ty)),
        },
        ValueType::Enum(cases) => json!(cases[dice.below(cases.len() as u64) as usize]),
        ValueType::Flags(names) => names.iter().filter(|_| dice.below(2) == 0).map(|name| json!(name)).collect(),
        ValueType::Option(_) if dice.below(3) == 0 => Value::Null,
        ValueType::Option(some) if matches!(**some, ValueType::Option(_)) => field("some", value(dice, some)),
        ValueType::Option(some) => value(dice, some),
        ValueType::Result(ok, err) => {
            let (name, ty) = if dice.below(2) == 0 { ("ok", ok) } else { ("err", err) };
            field(name, ty.as_ref().map_or(Value::Null, |ty| value(dice, ty)))
        }
    }
}

fn integer(dice: &mut Dice, kind: Integer) -> Value {
    let number = match dice.below(3) {
        0 => i128::from(kind.minimum()),
        1 => i128::from(kind.maximum()),
        _ => {
            let span = i128::from(kind.maximum()) - i128::from(kind.minimum());
            i128::from(kind.minimum()) + i128::from(dice.any()) % (span + 1)
        }
    };
    match i64::try_from(number) {
        Ok(number) if number.abs_diff(0) <= SAFE_INTEGER_MAX as u64 => json!(number),
        _ => json!(number.to_string()),
    }
}

fn float(number: f64) -> Value {
    serde_json::from_str(&json!(number).to_string()).unwrap()
}

fn character(dice: &mut Dice) -> char {
    ['a', '"', '\\', 'ü', '漢', '🦀', '\u{10ffff}', '\u{0}', '\n'][dice.below(9) as usize]
}

fn field(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}
