//! The table: one row for each number.

use crate::quantity::{Durations, Quantity};
use std::fmt;

/// One number, what was measured, and what is to be held.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    what: String,
    middle: Quantity,
    least: Option<Quantity>,
    tail: Option<(&'static str, Quantity)>,
    held: Option<(Quantity, Quantity)>,
}

impl Row {
    /// A rate, a size, or whatever else is one number.
    pub(crate) fn of(name: &'static str, what: impl Into<String>, number: Quantity) -> Self {
        Self { name, what: what.into(), middle: number, least: None, tail: None, held: None }
    }

    /// The 50th and 99th percentile.
    pub(crate) fn p50_p99(name: &'static str, what: impl Into<String>, durations: &Durations) -> Self {
        Self::of_durations(name, what, durations, ("", durations.percentile(99)))
    }

    /// The 50th and 95th percentile, where there are too few for the 99th.
    pub(crate) fn p50_p95(name: &'static str, what: impl Into<String>, durations: &Durations) -> Self {
        Self::of_durations(name, what, durations, ("p95 ", durations.percentile(95)))
    }

    fn of_durations(
        name: &'static str,
        what: impl Into<String>,
        durations: &Durations,
        tail: (&'static str, Quantity),
    ) -> Self {
        let least = Some(durations.percentile(0));
        Self { least, tail: Some(tail), ..Self::of(name, what, durations.percentile(50)) }
    }

    /// The first number is held against this.
    pub(crate) fn hold(mut self, bound: Quantity) -> Self {
        self.held = Some((self.middle, bound));
        self
    }

    fn cells(&self) -> [String; 8] {
        let least = self.least.map_or_else(String::new, |least| least.to_string());
        let tail = self.tail.map_or_else(String::new, |(label, tail)| format!("{label}{tail}"));
        let (bound, ratio, verdict) = match self.held {
            None => Default::default(),
            Some((found, bound)) => {
                let more = bound.more_is_better();
                let holds = if more { found.number() >= bound.number() } else { found.number() <= bound.number() };
                let sign = if more { "≥" } else { "≤" };
                let ratio = format!("{:.2}", found.number() / bound.number());
                (format!("{sign} {bound}"), ratio, if holds { "holds" } else { "does not hold" }.to_owned())
            }
        };
        [self.name.to_owned(), self.what.clone(), self.middle.to_string(), least, tail, bound, ratio, verdict]
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["name", "what was measured", "p50, or the number", "least", "p99", "hold", "ratio", "verdict"];
        let head = head.map(str::to_owned);
        let rows: Vec<[String; 8]> = std::iter::once(head).chain(self.0.iter().map(Row::cells)).collect();
        let mut widths = [0; 8];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (at, row) in rows.iter().enumerate() {
            write!(f, "|")?;
            for (cell, width) in row.iter().zip(widths) {
                write!(f, " {cell:<width$} |")?;
            }
            writeln!(f)?;
            if at == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
                writeln!(f, "|{}|", rule.join("|"))?;
            }
        }
        Ok(())
    }
}
