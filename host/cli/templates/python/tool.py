"""The tool as the component model sees it. The host has checked the arguments against the schema below."""

import json

import snapshot
import wit_world.exports
from count import count
from wit_world.imports.types import ErrorKind, Failure, Outcome_Failed, Outcome_Returned, Part_Json

TOOLS = [
    {
        "name": "{{snake}}",
        "description": "Counts the lines, words and bytes of a text.",
        "category": "read",  # read, edit, execute, network or other
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string", "description": "The text."}},
            "required": ["text"],
            "additionalProperties": False,
        },
    }
]


class Describe(wit_world.exports.Describe):
    """Called once, when the component is installed: what models are told."""

    def describe(self) -> str:
        return json.dumps(TOOLS)


class Tool(wit_world.exports.Tool):
    """Called for each call, in a fresh instance."""

    def call(self, name: str, arguments: str):
        if name != "{{snake}}":
            return Outcome_Failed(Failure(ErrorKind.UNSUPPORTED, "unknown-tool", f"there is no tool {name}", False))
        text = json.loads(arguments)["text"]
        return Outcome_Returned([Part_Json(json.dumps(count(text)))])


# Calls begin from here, with what a first call does already done. This one cannot use the host: it runs at the build.
snapshot.settle(lambda: Tool().call("{{snake}}", '{"text": "one two\\nthree"}'))
