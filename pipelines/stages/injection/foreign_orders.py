"""Orders to the memory in languages other than English."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.stages.wordlist import phrase_pattern


@dataclass(frozen=True, slots=True)
class _Language:
    """The words of two orders: to drop the rules, and to store something about everybody."""

    drop: str
    rules: str
    store: str
    everybody: str

    @property
    def orders(self) -> str:
        return (
            rf"(?:{self.drop}) (?:\w+ ){{0,4}}?(?:{self.rules})\w*"
            "\n"
            rf"(?:{self.store})\b[ ,:]+(?:\S+ ){{0,8}}?(?:{self.everybody})\w*"
        )


_GERMAN = _Language(
    r"ignorier\w*|vergiss|vergesst|missachte\w*",
    "anweisung|anleitung|regel|vorgabe|instruktion",
    r"merk\w*|speicher\w*|notier\w*|behalte",
    r"(?:alle[nr]?|jede[rn]?|sämtliche\w*) (?:\w+ )?(?:benutzer|nutzer|kunde|anwender|kont[eo])",
)
_SPANISH = _Language(
    "ignor[ae]|olvid[ae]|desatiende|descart[ae]",
    "instrucci|reglas|indicaciones|órdenes",
    "recuerd[ae]|guard[ae]|anot[ae]|memori[zc]e?a?|registr[ae]",
    "(?:tod[oa]s (?:l[oa]s )?|cada )(?:usuari|client|cuenta)",
)
_FRENCH = _Language(
    r"ignor\w+|oubli\w+",
    "instructions|consignes|règles|directives",
    r"souviens-toi|souvenez-vous|retiens|retenez|mémoris\w+|not\w+|enregistr\w+",
    "(?:tous les|toutes les|chaque) (?:utilisat|client|compte)",
)
_ITALIAN = _Language(
    "ignora|dimentica|trascura",
    "istruzioni|regole",
    "ricorda|memorizza|salva|annota",
    "(?:tutti gli|tutti i|ogni) (?:utent|client|account)",
)
_PORTUGUESE = _Language(
    "ignor[ae]|esqueça|desconsidere",
    "instruções|regras",
    "lembr[ae]|guard[ae]|memorize|anot[ae]",
    "(?:todos os|cada) (?:usuário|cliente|conta)",
)
_DUTCH = _Language(
    "negeer|vergeet",
    "instructie|regel",
    "onthoud|noteer|bewaar",
    "(?:alle|elke|iedere) (?:gebruiker|klant)",
)
_POLISH = _Language(
    "zignoruj|ignoruj|zapomnij",
    "instrukcj|polece|zasad",
    "zapamiętaj|zapisz",
    "(?:wszyscy|wszystkich|każdy) (?:użytkowni|klien)",
)
_RUSSIAN = _Language(
    r"игнорируй\w*|забудь\w*",
    "инструкц|правил|указани",
    r"запомни\w*|сохрани\w*|запиши\w*",
    "(?:все|всех|каждый) (?:пользовател|клиент)",
)
_SPOKEN = phrase_pattern(
    "\n".join(
        language.orders
        for language in (
            _GERMAN, _SPANISH, _FRENCH, _ITALIAN, _PORTUGUESE, _DUTCH, _POLISH, _RUSSIAN,
        )
    )
)  # fmt: skip
# These scripts put no spaces between words.
_UNSPACED = re.compile(
    "(?:忽略|无视|忽視|無視|忘记).{0,10}?(?:指令|指示|规则|提示|規則)"
    "|(?:记住|記住|保存|记录).{0,12}?(?:所有|每个|每個|全部)(?:用户|客户|用戶|客戶)"
    "|指示を(?:すべて)?(?:無視|忘れ)"
    "|(?:すべて|全て|全)の(?:ユーザー|利用者).{0,24}?(?:覚え|記憶|保存)"
)


def is_foreign_order(plain: str) -> bool:
    """Whether a text, whitespace single, holds such an order in another language."""
    return bool(_SPOKEN.search(plain) or (not plain.isascii() and _UNSPACED.search(plain)))
