"""A mode in Python: documents may be written, everything else may only be read."""

import json

import wit_world.exports
from wit_world.imports.types import (
    Answer,
    Category,
    Effects,
    ModeDescription,
    Question,
    Subject_Staged,
    Verdict,
)

DOCUMENTS = (".md", ".rst", ".txt")


class Describe(wit_world.exports.Describe):
    """Called once, when the mode is installed."""

    def describe(self) -> ModeDescription:
        return ModeDescription(
            name="docs",
            description="Writes documents, reads everything else",
            instructions="You are in docs mode: only files that end in .md, .rst or .txt may be changed.",
            tools=None,
            model=None,
            leads_to=["build"],
        )


class Judge(wit_world.exports.Judge):
    """Called for each call, and again for its staged changes, in a fresh instance."""

    def judge(self, question: Question) -> Answer:
        if isinstance(question.subject, Subject_Staged):
            for change in question.subject.value:
                if not change.path.endswith(DOCUMENTS):
                    return Answer(Verdict.DENY, "documents-only", f"`{change.path}` is no document.", None)
            return Answer(Verdict.ASK, "documents", "It changes documents only.", None)
        if question.effects != Effects.STAGED:
            return Answer(Verdict.DENY, "staged-only", "Only staged tools are used in docs mode.", None)
        arguments = json.loads(question.arguments)
        if question.category == Category.READ and arguments.get("limit", 0) > 100:
            narrowed = json.dumps({**arguments, "limit": 100})
            return Answer(Verdict.ALLOW, "first-lines", "The first 100 lines are enough.", narrowed)
        return Answer(Verdict.ALLOW, "staged", "What it changes is looked at when it is known.", None)
