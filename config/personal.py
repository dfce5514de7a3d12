"""What becomes of personal data, as the environment spells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from config.policy import Handling, PersonalDataPolicy, PersonalKind

if TYPE_CHECKING:
    from config.policy import Handlings

_DEFAULT = PersonalDataPolicy()

HandlingSetting = Handling | dict[PersonalKind, Handling]
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


def _read(value: object) -> object:
    """A bare word is the default of every tenant; anything else is JSON."""
    if not isinstance(value, str):
        return value
    if value.isalpha():
        return {"default": value}
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON (character {error.pos}: {error.msg})") from None


class PersonalDataSchema(BaseModel):
    """For every tenant, then for those that want something else; whole or kind by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: HandlingSetting = Handling.KEEP
    tenants: dict[str, HandlingSetting] = Field(default_factory=dict)
    phone_regions: tuple[Region, ...] = _DEFAULT.phone_regions


PersonalDataSetting = Annotated[PersonalDataSchema, NoDecode, BeforeValidator(_read)]


def make_personal_data_policy(setting: PersonalDataSchema) -> PersonalDataPolicy:
    """The policy; a kind that a tenant does not name is handled as by default."""
    default = _by_kind(setting.default, {})
    return PersonalDataPolicy(
        default=default,
        tenants={name: _by_kind(chosen, default) for name, chosen in setting.tenants.items()},
        phone_regions=setting.phone_regions,
    )


def _by_kind(chosen: HandlingSetting, default: Handlings) -> Handlings:
    if isinstance(chosen, Handling):
        return dict.fromkeys(PersonalKind, chosen)
    return {**default, **chosen}
