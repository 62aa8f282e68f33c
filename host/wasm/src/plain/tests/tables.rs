//! What is accepted, what it becomes, and how what is not is refused: by example.

use crate::plain::types::{Integer, Signature, ValueType};
use crate::plain::{arguments, results};
use serde_json::{Value, json};

fn through(ty: &ValueType, value: &Value) -> Result<Value, String> {
    let signature = Signature { parameters: vec![("v".to_owned(), ty.clone())], result: None };
    let values =
        arguments::values(&signature, &json!({ "v": value }).to_string()).map_err(|misfit| misfit.to_string())?;
    Ok(results::json(ty, &values[0]).unwrap())
}

fn boxed(ty: ValueType) -> Box<ValueType> {
    Box::new(ty)
}

#[test]
fn what_is_written_in_other_ways_gets_its_normal_form() {
    let nested = ValueType::Option(boxed(ValueType::Option(boxed(ValueType::Bool))));
    let record = ValueType::Record(vec![
        ("a-b".to_owned(), ValueType::Option(boxed(ValueType::Bool))),
        ("c".to_owned(), ValueType::String),
    ]);
    let flags = ValueType::Flags(vec!["r".to_owned(), "w".to_owned()]);
    let u64 = ValueType::Integer(Integer::U64);
    let table = [
        (&ValueType::Bytes, json!([104, 105]), json!("aGk=")),
        (&ValueType::Bytes, json!("aGk"), json!("aGk=")),
        (&ValueType::Integer(Integer::U8), json!(2.0), json!(2)),
        (&u64, json!("7"), json!(7)),
        (&u64, json!("9007199254740992"), json!("9007199254740992")),
        (&u64, json!("18446744073709551615"), json!("18446744073709551615")),
        (&ValueType::Integer(Integer::S64), json!("-9223372036854775808"), json!("-9223372036854775808")),
        (&ValueType::F32, json!(0.1), json!(0.1)),
        (&ValueType::F64, json!(1), json!(1.0)),
        (&ValueType::F64, json!("-Infinity"), json!("-Infinity")),
        (&nested, json!(null), json!(null)),
        (&nested, json!({ "some": null }), json!({ "some": null })),
        (&nested, json!({ "some": true }), json!({ "some": true })),
        (&record, json!({ "c": "x" }), json!({ "a-b": null, "c": "x" })),
        (&flags, json!(["w", "r"]), json!(["r", "w"])),
    ];
    for (ty, value, expected) in table {
        assert_eq!(through(ty, &value), Ok(expected), "{ty} from {value}");
    }
}

#[test]
fn what_does_not_fit_is_named_with_its_path() {
    let item = ValueType::Record(vec![("name".to_owned(), ValueType::String)]);
    let items = ValueType::List(boxed(item));
    let variant =
        ValueType::Variant(vec![("none".to_owned(), None), ("one".to_owned(), Some(ValueType::Integer(Integer::U8)))]);
    let result = ValueType::Result(Some(boxed(ValueType::Bool)), None);
    let map = ValueType::Map(boxed(ValueType::String), boxed(ValueType::Bool));
    let table = [
        (&items, json!([{ "name": "a" }, { "name": 3 }]), "/v/1/name: expected a string, got 3"),
        (&items, json!([{}]), "/v/0: `name` is missing: it is a string"),
        (&items, json!([{ "name": "a", "nam": 1 }]), "/v/0: `nam` is not a field here; there are: name"),
        (&items, json!("x"), "/v: expected an array, got \"x\""),
        (&ValueType::Integer(Integer::S8), json!(128), "/v: expected a whole number from -128 to 127, got 128"),
        (&ValueType::Integer(Integer::U8), json!(1.5), "/v: expected a whole number from 0 to 255, got 1.5"),
        (&ValueType::Integer(Integer::U8), json!("1"), "/v: expected a whole number from 0 to 255, got \"1\""),
        (&ValueType::Integer(Integer::U64), json!("-1"), "got \"-1\""),
        (&ValueType::Integer(Integer::U64), json!("+1"), "got \"+1\""),
        (&ValueType::Integer(Integer::U64), json!(9_007_199_254_740_992_u64), "as a string of digits where beyond"),
        (&ValueType::F32, json!(1e300), "/v: expected a number within f32"),
        (&ValueType::F64, json!("nan"), "got \"nan\""),
        (&ValueType::Char, json!("ab"), "/v: expected a string of one character, got \"ab\""),
        (&ValueType::Bytes, json!("a*"), "/v: expected base64: "),
        (&ValueType::Bytes, json!([1, 256]), "/v/1: expected a whole number from 0 to 255, got 256"),
        (&variant, json!("one"), "/v: expected {\"one\": a whole number from 0 to 255}, got only the case's name"),
        (&variant, json!({ "none": 1 }), "/v: expected \"none\" alone: this case has no value"),
        (&variant, json!({ "one": true }), "/v/one: expected a whole number from 0 to 255, got true"),
        (&variant, json!({ "two": 1 }), "/v: expected one of \"none\", {\"one\": …}, got an object of 1 fields"),
        (&result, json!({ "ok": true, "err": null }), "/v: expected an object with \"ok\" or \"err\""),
        (&result, json!({ "err": 1 }), "/v/err: expected null, got 1"),
        (&map, json!({ "a/b~c": 1 }), "/v/a~1b~0c: expected true or false, got 1"),
        (&ValueType::Flags(vec!["r".to_owned()]), json!(["r", "r"]), "/v/1: \"r\" is there twice"),
        (&ValueType::Flags(vec!["r".to_owned()]), json!(["x"]), "/v/0: expected one of \"r\", got \"x\""),
        (&ValueType::Enum(vec!["a".to_owned()]), json!("\u{202e}b"), "/v: expected one of \"a\", got \"b\""),
    ];
    for (ty, value, expected) in table {
        let problem = through(ty, &value).unwrap_err();
        assert!(problem.contains(expected), "{problem}\nlacks {expected}");
    }
}

#[test]
fn names_that_each_value_holds_a_copy_of_count_as_values() {
    // 1024 values for each copy of the name.
    let (long, short) = ("x".repeat(32 << 10), "a".to_owned());
    let option = || ValueType::Option(boxed(ValueType::Bool));
    for (ty, value) in [
        (ValueType::Record(vec![(long.clone(), option())]), json!({})),
        (ValueType::Flags(vec![long.clone(), short.clone()]), json!(["a"])),
        (ValueType::Enum(vec![long.clone(), short.clone()]), json!("a")),
        (ValueType::Variant(vec![(long.clone(), None), (short.clone(), None)]), json!("a")),
    ] {
        let signature = Signature { parameters: vec![("v".to_owned(), ValueType::List(boxed(ty)))], result: None };
        let values = |count: usize| arguments::values(&signature, &json!({ "v": vec![&value; count] }).to_string());
        assert!(values(1_000).is_ok(), "{value}");
        let problem = values(1_024).unwrap_err().to_string();
        assert!(problem.contains("more than 1048576 values"), "{value}: {problem}");
    }
}

#[test]
fn the_whole_must_be_an_object_of_a_bounded_number_of_values() {
    let none = Signature { parameters: Vec::new(), result: None };
    let problem = |signature: &Signature, text: &str| arguments::values(signature, text).unwrap_err().to_string();
    assert_eq!(problem(&none, "[]"), "the arguments: expected an object with the parameters, got an array of 0");
    assert!(problem(&none, "{").starts_with("the arguments: not JSON: "));
    assert_eq!(problem(&none, "{\"x\":1}"), "the arguments: `x` is not a field here; there are: none");
    let bytes = Signature { parameters: vec![("b".to_owned(), ValueType::Bytes)], result: None };
    let text = format!("{{\"b\":\"{}\"}}", "AAAA".repeat(arguments::VALUES_MAX / 3 + 1));
    assert!(problem(&bytes, &text).contains("more than 1048576 values"));
    let deep = format!("{{\"b\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(problem(&bytes, &deep).contains("recursion limit"));
}
