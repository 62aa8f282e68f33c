//! Counting names before they are kept. What is read of whole components is in `tests/read.rs`.

use super::anatomy::{Anatomy, COMPONENT_NAMES_MAX, check_room};
use super::{Component, ComponentSource};
use std::fmt::Write as _;

/// A component with so many imports, and as many exports of them.
fn component(names: usize) -> Vec<u8> {
    let text = (0..names).fold(String::from("(component"), |mut text, number| {
        write!(text, "(import \"i{number}\" (func $i{number}))(export \"e{number}\" (func $i{number}))").unwrap();
        text
    });
    wat::parse_str(text + ")").unwrap()
}

/// The same names in one section, as no tool writes it.
fn imports_in_one_section(count: usize) -> Vec<u8> {
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let mut section = number(count);
    // A plain name of one character, and a function of type 0.
    section.extend([0x00, 0x01, b'a', 0x01, 0x00].repeat(count));
    [b"\0asm\x0d\0\x01\0\x0a".to_vec(), number(section.len()), section].concat()
}

#[test]
fn names_are_counted_before_they_are_kept() {
    let at_most = component(COMPONENT_NAMES_MAX);
    let found = Anatomy::of(&at_most).unwrap();
    assert_eq!((found.imports.len(), found.exports.len()), (COMPONENT_NAMES_MAX, COMPONENT_NAMES_MAX));
    assert!(Anatomy::of(&component(COMPONENT_NAMES_MAX + 1)).unwrap_err().contains("1001 imports, more than 1000"));
    assert_eq!(Anatomy::of(&imports_in_one_section(2)).unwrap().imports, ["a", "a"]);
    assert!(Anatomy::of(&imports_in_one_section(1 << 20)).unwrap_err().contains("1048576 imports"));
    let exports = check_room("exports", COMPONENT_NAMES_MAX, 1).unwrap_err();
    assert!(exports.contains("1001 exports"), "{exports}");
    let source = ComponentSource { name: "many".to_owned(), bytes: imports_in_one_section(1 << 20).into() };
    let refused = Component::read(source).unwrap_err().to_string();
    assert!(refused.contains("`many`") && refused.contains("more than 1000"), "{refused}");
}
