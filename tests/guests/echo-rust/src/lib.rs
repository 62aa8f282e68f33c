//! A component that knows nothing of this host: it gives back what it gets.

wit_bindgen::generate!({ path: "wit", world: "echoing" });

use exports::guests::echo::echo::{Guest as Echo, Picture};

struct Component;

impl Echo for Component {
    fn drawing(it: Picture) -> Picture {
        it
    }

    fn numbers(a: i8, b: u16, c: i32, d: i64, e: f32) -> (i8, u16, i32, i64, f32) {
        (a, b, c, d, e)
    }

    fn text(it: String) -> String {
        it
    }

    fn letter(it: char) -> char {
        it
    }

    fn floats(it: Vec<f64>) -> Vec<f64> {
        it
    }

    fn both(it: Result<u32, Vec<String>>) -> Result<u32, Vec<String>> {
        it
    }

    fn unit() {}

    fn fails(how: Option<String>) -> Result<(), String> {
        how.map_or(Ok(()), Err)
    }
}

impl Guest for Component {
    fn shout(words: String) -> String {
        words.to_uppercase()
    }
}

export!(Component);
