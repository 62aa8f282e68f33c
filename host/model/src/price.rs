//! What tokens cost.

use harness_core::Usage;

/// Prices of a model in US dollars for a million tokens, which is the same number as millionths of a
/// dollar for one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Of input that was not in the provider's cache.
    pub input: f64,
    /// Of input that was read from the cache; unset: as `input`.
    pub cached_input: Option<f64>,
    /// Of input that was written to the cache; unset: as `input`.
    pub cache_write: Option<f64>,
    /// Of output, reasoning included.
    pub output: f64,
}

impl Price {
    /// The cost in millionths of a dollar, rounded. None if a price is not a number of dollars.
    pub fn cost_micro_usd(&self, usage: &Usage) -> Option<u64> {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        let plain = usage.input_tokens - cached - written;
        let cost = plain as f64 * self.input
            + cached as f64 * self.cached_input.unwrap_or(self.input)
            + written as f64 * self.cache_write.unwrap_or(self.input)
            + usage.output_tokens as f64 * self.output;
        (cost.is_finite() && cost >= 0.0).then(|| cost.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_token_has_its_price() {
        let price = Price { input: 2.0, cached_input: Some(0.2), cache_write: Some(2.5), output: 10.0 };
        let usage = Usage {
            input_tokens: 1_000,
            cached_input_tokens: 600,
            cache_write_tokens: 300,
            output_tokens: 50,
            ..Usage::default()
        };
        // 100 x 2.0 + 600 x 0.2 + 300 x 2.5 + 50 x 10.0
        assert_eq!(price.cost_micro_usd(&usage), Some(1_570));
        let plain = Price { cached_input: None, cache_write: None, ..price };
        assert_eq!(plain.cost_micro_usd(&usage), Some(2_500));
        assert_eq!(Price { input: f64::NAN, ..price }.cost_micro_usd(&usage), None);
    }

    #[test]
    fn more_cached_than_sent_is_no_underflow() {
        let price = Price { input: 2.0, cached_input: None, cache_write: None, output: 0.0 };
        let usage = Usage { input_tokens: 5, cached_input_tokens: 9, cache_write_tokens: 9, ..Usage::default() };
        assert_eq!(price.cost_micro_usd(&usage), Some(10));
    }
}
