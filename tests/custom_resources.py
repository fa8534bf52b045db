"""Schemas of custom resources, as Kubernetes' operators publish them."""

from typing import Any


def closed(schema: Any) -> Any:
    """Kubernetes drops fields that a schema does not name; here such a field is an error."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    within = {key: closed(each) for key, each in schema.items()}
    names = within.get("properties")
    if isinstance(names, dict) and not within.get("x-kubernetes-preserve-unknown-fields"):
        within.setdefault("additionalProperties", False)
    if within.pop("x-kubernetes-int-or-string", False):
        within.pop("type", None)
    return within
