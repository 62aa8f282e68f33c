//! The words of the notation, and what they stand for.
//!
//! Not here: what they do to a session.

use super::*;

pub(crate) fn grant(capability: &str) -> Grant {
    Grant {
        component: "editor".to_owned(),
        capability: capability.parse().unwrap(),
        scope: Scope::Principal,
        until: None,
        source: "user".to_owned(),
    }
}

/// `exact|tool|category|command:WORDS|path:GLOB [SCOPE]`
pub(crate) fn allow(words: &[&str]) -> Answer {
    let coverage = match words[0].split_once(':').unwrap_or((words[0], "")) {
        ("exact", _) => AnswerCoverage::Exact,
        ("tool", _) => AnswerCoverage::Tool,
        ("category", _) => AnswerCoverage::Category,
        ("command", words) => {
            let command = vec![words.replace('_', " ").parse().unwrap()];
            AnswerCoverage::Pattern { pattern: ArgumentPattern { command, ..ArgumentPattern::default() } }
        }
        ("path", glob) => {
            let arguments = [("path".to_owned(), glob.parse().unwrap())].into();
            AnswerCoverage::Pattern { pattern: ArgumentPattern { arguments, ..ArgumentPattern::default() } }
        }
        other => panic!("{other:?}"),
    };
    let scopes = [Scope::Turn, Scope::Session, Scope::Workspace, Scope::Agent, Scope::Tenant, Scope::Global];
    let scope = words.get(1).map(|word| *scopes.iter().find(|scope| scope.word() == *word).unwrap());
    Answer::Allow { coverage, scope: scope.unwrap_or(Scope::Session), until: None }
}

pub(crate) fn asks(question: String, choices: Vec<String>) -> Outcome {
    Outcome::NeedsInput { question, choices, state: "state".to_owned() }
}

pub(crate) fn parse_verdict(word: &str) -> VerdictKind {
    match word {
        "allow" => VerdictKind::Allow,
        "ask" => VerdictKind::Ask,
        "deny" => VerdictKind::Deny,
        other => panic!("{other}"),
    }
}

/// `b.tokens=N b.cost=N b.work=N b.fuel=N b.calls=N b.steps=N`; others are left out.
pub(crate) fn budget(words: &[&str]) -> Budget {
    let number = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.parse().ok());
    Budget {
        tokens: number("b.tokens="),
        cost_micro_usd: number("b.cost="),
        work_ms: number("b.work="),
        fuel: number("b.fuel="),
        calls: number("b.calls="),
        steps: number("b.steps="),
    }
}

/// `NAME`, `NAME:POLICY`, each with `>NAME` for where it leads and `[TOOL,…]` for its tools.
pub(crate) fn mode(text: &str) -> ModeSpec {
    let (text, tools) =
        text.split_once('[').map_or((text, None), |(text, tools)| (text, Some(tools.trim_end_matches(']'))));
    let (text, leads_to) = text.split_once('>').map_or((text, None), |(text, to)| (text, Some(to)));
    let (name, policy) = text.split_once(':').map_or((text, None), |(name, policy)| (name, Some(policy)));
    ModeSpec {
        name: name.to_owned(),
        description: String::new(),
        instructions: format!("Do as {name} does."),
        tools: tools.map(|tools| tools.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()),
        model: None,
        leads_to: leads_to.into_iter().map(str::to_owned).collect(),
        policy: policy.map(|policy| Digest::of(policy.as_bytes())),
    }
}

/// `stop WORDS`, `mode NAME`, `note WORDS`.
pub(crate) fn hook(words: &[&str]) -> HookAnswer {
    let rest = words[1..].join(" ");
    let (wish, note) = match words[0] {
        "stop" => (HookWish::Stop { reason: rest }, String::new()),
        "mode" => (HookWish::Mode { mode: rest }, String::new()),
        "note" => (HookWish::GoOn, rest),
        other => panic!("{other}"),
    };
    HookAnswer { component: "hooks".to_owned(), digest: Digest::ZERO, wish, note, fault: None }
}

/// What several hooks said, `and` between them.
pub(crate) fn hooks(words: &[&str]) -> Vec<HookAnswer> {
    words.split(|word| *word == "and").map(hook).collect()
}

pub(crate) fn parse_rule(text: &str) -> Rule {
    let parts: Vec<&str> = text.split(':').collect();
    let verdict = parse_verdict(parts[0]);
    let tool = (parts[1] != "*").then(|| parts[1].to_owned());
    let command = parts.get(3).map(|words| words.replace('_', " ").parse().unwrap());
    let arguments = ArgumentPattern { command: command.into_iter().collect(), ..ArgumentPattern::default() };
    Rule { tool, arguments, reason: "because.".to_owned(), ..Rule::new(parts[2], verdict) }
}

pub(crate) fn responded(entropy: String, parts: Vec<AssistantPart>, stop: ModelStop) -> Event {
    let usage = Usage { input_tokens: 10, output_tokens: 1, ..Usage::default() };
    Event::ModelResponded { entropy, parts, stop, usage, provider_response: None, time_ms: 0 }
}

pub(crate) fn calls(words: &[&str]) -> Vec<AssistantPart> {
    let part = |(index, word): (usize, &&str)| {
        let (tool, arguments) = word.split_once('=').unwrap_or((word, "{}"));
        AssistantPart::ToolCall {
            provider_call: format!("p{index}"),
            tool: tool.to_owned(),
            arguments: arguments.to_owned(),
        }
    };
    words.iter().enumerate().map(part).collect()
}

pub(crate) fn failed(entropy: String, words: &[&str]) -> Event {
    let kind = match words[0] {
        "retryable" => ModelFailureKind::Retryable,
        "disconnected" => ModelFailureKind::Disconnected,
        "malformed" => ModelFailureKind::MalformedStream,
        "refused" => ModelFailureKind::Refused,
        "authentication" => ModelFailureKind::Authentication,
        "too-long" => ModelFailureKind::ContextTooLong,
        other => panic!("{other}"),
    };
    let retry_after_ms = words.get(1).and_then(|word| word.strip_prefix("after=")?.parse().ok());
    Event::ModelFailed { entropy, failure: ModelFailure { kind, message: String::new(), status: None, retry_after_ms } }
}

/// What a provider would not accept about a conversation, if anything.
pub(crate) fn provider_problem(history: &[Arc<Item>]) -> Option<String> {
    let mut open: Vec<(&str, &str)> = Vec::new();
    for (index, item) in history.iter().enumerate() {
        match item.as_ref() {
            Item::ToolResults { results } => {
                let answered: Vec<_> =
                    results.iter().map(|result| (result.provider_call.as_str(), result.tool.as_str())).collect();
                if answered != open || open.is_empty() {
                    return Some(format!("item {index} answers {answered:?}, asked was {open:?}"));
                }
                open.clear();
            }
            _ if !open.is_empty() => return Some(format!("item {index} comes before {open:?} was answered")),
            Item::User { .. } => {}
            Item::Assistant { parts, .. } if parts.is_empty() => return Some(format!("item {index} is empty")),
            Item::Assistant { parts, .. } => open.extend(parts.iter().filter_map(|part| match part {
                AssistantPart::ToolCall { provider_call, tool, .. } => Some((provider_call.as_str(), tool.as_str())),
                _ => None,
            })),
        }
    }
    (!open.is_empty()).then(|| format!("{open:?} were never answered"))
}

/// What a request has set aside; nothing where nothing is.
pub(crate) fn set_aside(reserved: Reservation) -> String {
    match reserved {
        Reservation { tokens: 0, cost_micro_usd: 0 } => String::new(),
        Reservation { tokens, cost_micro_usd: 0 } => format!(" tokens={tokens}"),
        Reservation { tokens, cost_micro_usd } => format!(" tokens={tokens} cost={cost_micro_usd}"),
    }
}

/// A response that took what `used=INPUT+OUTPUT` and `cost=MICRO-USD` among these words say.
pub(crate) fn using(words: &[&str], mut response: Event) -> Event {
    let used = words.iter().find_map(|word| word.strip_prefix("used=")?.split_once('+'));
    if let (Some((input, output)), Event::ModelResponded { usage, .. }) = (used, &mut response) {
        (usage.input_tokens, usage.output_tokens) = (input.parse().unwrap(), output.parse().unwrap());
        usage.cost_micro_usd = words.iter().find_map(|word| word.strip_prefix("cost=")?.parse().ok());
    }
    response
}
