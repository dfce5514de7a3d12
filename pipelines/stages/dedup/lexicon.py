"""The English words that decide whether two statements can mean the same.

Everything here is lower case and as tokens are cut: contractions are expanded, "can't" is
"can", "not". Words of other languages are simply content: they make a pair differ, never agree.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATORS = _words(
    "not no never none nobody nothing nowhere neither nor without cannot hardly barely scarcely "
    "stop stops stopped stopping quit quits quitting cease ceased ceases avoid avoids avoided "
    "avoiding refuse refuses refused refusing lack lacks lacked lacking fail fails failed deny "
    "denies denied dislike dislikes disliked disliking hate hates hated hating detest detests "
    "loathe loathes unable except excluding against longer anymore cancel cancels cancelled "
    "canceled forbid forbids forbidden ban banned abandon abandoned"
)
# "no longer" and "not ... anymore" deny once, not twice.
NEGATION_FILLERS = _words("longer anymore more any")

# Of each group a statement holds at most one side: two statements on different sides disagree.
OPPOSITES: tuple[tuple[frozenset[str], ...], ...] = tuple(
    tuple(_words(side) for side in group.split("|"))
    for group in (
        "before|after",
        "left|right",
        "on|off",
        "up upward upwards|down downward downwards",
        "in inside into|out outside",
        "above over|below under underneath beneath",
        "front frontend|back backend|rear",
        "first|last final",
        (
            "start starts started begin begins began beginning|"
            "end ends ended ending finish finishes finished"
        ),
        (
            "enable enables enabled enabling activate activated|"
            "disable disables disabled disabling deactivate deactivated"
        ),
        "allow allows allowed permit permits|forbid forbids forbidden block blocks blocked deny",
        (
            "accept accepts accepted approve approves approved|reject rejects rejected decline "
            "declines declined"
        ),
        "open opens opened|close closes closed shut",
        (
            "increase increases increased rise rises rose raise raised|"
            "decrease decreases decreased reduce reduces reduced fall falls fell"
            " drop drops dropped lower lowered"
        ),
        "more most|less least fewer fewest",
        "many much|few little",
        (
            "all every everyone everything always|some sometimes occasionally|rarely seldom hardly|"
            "no none never|often usually frequently generally"
        ),
        "maximum max|minimum min",
        "high higher highest|low lower lowest",
        "big bigger large larger|small smaller little",
        "long longer|short shorter",
        "early earlier|late later",
        "old older oldest|new newer newest|young younger youngest",
        "morning mornings|noon midday|afternoon afternoons|evening evenings|night nights midnight",
        "day daytime daylight|night nighttime",
        "weekday weekdays|weekend weekends",
        "today|yesterday|tomorrow",
        "spring|summer|autumn fall|winter",
        "north northern|south southern|east eastern|west western",
        "public|private",
        "remote remotely|onsite office",
        "online|offline",
        "indoor indoors|outdoor outdoors",
        "buy buys bought buying|sell sells sold selling|rent rents rented renting",
        "lend lends lent lending|borrow borrows borrowed borrowing",
        "win wins won winning|lose loses lost losing",
        "arrive arrives arrived|leave leaves left leaving depart departed",
        "add adds added adding|remove removes removed removing delete deletes deleted",
        "push pushes pushed|pull pulls pulled",
        "send sends sent sending|receive receives received receiving",
        "hot|cold|warm|cool",
        "good better best|bad worse worst",
        "happy glad|sad",
        "easy|difficult hard",
        "fast faster quick quickly|slow slower slowly",
        "light lighter|dark darker|heavy heavier",
        "same|different",
        "single|married|divorced|widowed|engaged",
        "true|false",
        "yes|no",
        "he him his himself|she her hers herself",
        "male man men|female woman women",
        "boy boys|girl girls",
        (
            "mother mom mum mothers|father dad fathers|sister sisters|brother brothers|son sons|"
            "daughter daughters|wife|husband|uncle|aunt|cousin cousins|nephew|niece|"
            "grandmother grandma|grandfather grandpa|boyfriend|girlfriend|"
            "child children kid kids|parent parents|friend friends|colleague coworker"
        ),
        "development dev|staging|production prod",
        "alone|together",
        "former formerly previous previously ex|current currently present",
        "successful successfully succeeded success|unsuccessful failed failure",
        "temporary temporarily|permanent permanently",
        "mandatory required|optional",
    )
)
PERIODS: tuple[frozenset[str], ...] = tuple(
    _words(side)
    for side in (
        "ms millisecond milliseconds",
        "second seconds",
        "minute minutes",
        "hour hours hourly",
        "day days daily",
        "week weeks weekly",
        "fortnight fortnightly biweekly",
        "month months monthly",
        "quarter quarterly",
        "year years yearly annual annually",
    )
)
NEGATIVE_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "de", "anti")

# Words between which a swap turns the meaning: "from Rome to Oslo", "tea over coffee".
RELATIONS = _words(
    "from to over than before after by for with without into of at under above below via "
    "not but instead except toward towards"
)
# One thing cannot stand in two of these relations at once: "flew to Rome", "flew from Rome".
OPPOSED_RELATIONS = (
    _words("from"), _words("to toward towards into"), _words("by"), _words("for"),
    _words("with"), _words("against"),
)  # fmt: skip
PREPOSITIONS = RELATIONS | _words(
    "in on about as since during near through between among onto along beside upon"
)
COPULAS = _words("is are was were am be been being named called becomes became")
PAST_FORMS = _words("was were had did")
PRESENT_FORMS = _words("is are am has does do have")

FUNCTION_WORDS = (
    _words(
        "a an the and or but so that this these those there here it its his her hers their theirs "
        "our ours your yours myself himself herself themselves itself yourself who whom whose "
        "which what when where while as s d"
    )
    | _words("user users user's person")
    | (PREPOSITIONS | COPULAS | PAST_FORMS | PRESENT_FORMS) - NEGATORS
    | _words("oclock am pm per each every some")
)
# Said or left out, the statement keeps its truth.
LIGHT_WORDS = _words(
    "very really quite just also too actually currently now own owns owned having get gets got "
    "getting name names recently both well indeed definitely certainly truly totally super such "
    "thing things please lot lots bit oh hey hi yeah wow ok okay um mention "
    "mentions mentioned say says said state states stated feel feels felt"
)
# Base forms; the reader brings every word to its stem first.
SYNONYM_GROUPS = (
    "like love enjoy fond adore",
    "prefer favourite favorite best preference",
    "live reside home based",
    "work employed employee job",
    "move relocate",
    "happen occur",
    "buy purchase",
    "big large huge",
    "little small tiny",
    "car automobile",
    "bike bicycle",
    "mom mother mum",
    "dad father",
    "kid child",
    "photo picture pic photograph",
    "begin start",
    "finish complete",
    "fast quick",
    "often frequently regularly",
    "usually generally normally",
    "sometimes occasionally",
    "allow permit",
    "use utilise utilize",
    "want wish",
    "need require",
    "build create make",
    "fix repair",
    "doctor physician",
    "film movie",
    "happy glad",
    "amazing awesome fantastic wonderful incredible great",
    "study studying",
    "travel trip",
    "speak talk",
    "phone telephone smartphone",
    "colour color",
    "grey gray",
    "organise organize",
    "apartment flat",
    "holiday vacation",
    "reply answer respond",
)
_PAST_FORMS_OF = (
    "went/go gone/go bought/buy ran/run ate/eat drank/drink drove/drive wrote/write "
    "written/write took/take taken/take gave/give given/give made/make came/come saw/see "
    "seen/see met/meet found/find thought/think told/tell spent/spend taught/teach "
    "brought/bring caught/catch sold/sell built/build lost/lose won/win sent/send kept/keep "
    "slept/sleep began/begin begun/begin broke/break broken/break chose/choose chosen/choose "
    "fell/fall flew/fly forgot/forget grew/grow knew/know known/know paid/pay rode/ride "
    "sang/sing spoke/speak spoken/speak swam/swim wore/wear got/get held/hold led/lead "
    "left/leave said/say became/become understood/understand"
)
IRREGULAR_PAST: dict[str, str] = dict(pair.split("/") for pair in _PAST_FORMS_OF.split())
IRREGULAR_PLURAL = {"children": "child", "men": "man", "women": "woman", "feet": "foot"}
# Participles that stand as adjectives: they tell no time.
TIMELESS = _words("named called preferred based used married employed located given")
OPENERS = _words(
    "please yes no oh hey hi well also then after before when while if although though because "
    "since during until every each some many most all both one another other not never always "
    "sometimes usually often recently currently today yesterday tomorrow now once nothing "
    "everything something thanks thank wow sorry sure ok okay yeah he she they we him them us"
)

WEEKDAYS = {
    form: day
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    for form in (day, f"{day}s")
}
_MONTH_NAMES = (
    "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|"
    "september sept sep|october oct|november nov|december dec"
)
MONTHS = {
    name: str(number)
    for number, names in enumerate(_MONTH_NAMES.split("|"), start=1)
    for name in names.split()
}
# These are also verbs, adverbs or names; as months they stand beside a day or a preposition.
AMBIGUOUS_MONTHS = _words("may march mar jan")
BEFORE_MONTH = _words("in of since until by during last next this early late mid every from to")

# Unit → what it measures and its size in the smallest unit of that.
UNITS: dict[str, tuple[str, str]] = {
    word: (dimension, size)
    for dimension, size, words in (
        ("time", "0.001", "ms millisecond milliseconds"),
        ("time", "1", "sec secs seconds"),
        ("time", "60", "min mins minute minutes"),
        ("time", "3600", "h hr hrs hour hours"),
        ("time", "86400", "day days"),
        ("time", "604800", "week weeks"),
        ("months", "1", "month months"),
        ("months", "12", "year years yr yrs"),
        ("length", "0.001", "mm millimetre millimetres"),
        ("length", "0.01", "cm centimetre centimetres centimeter centimeters"),
        ("length", "1", "m metre metres meter meters"),
        ("length", "1000", "km kilometre kilometres kilometer kilometers"),
        ("length", "0.0254", "inch inches"),
        ("length", "0.3048", "ft foot feet"),
        ("length", "1609.344", "mi mile miles"),
        ("mass", "0.001", "mg milligram milligrams"),
        ("mass", "1", "g gram grams"),
        ("mass", "1000", "kg kgs kilo kilos kilogram kilograms"),
        ("mass", "28.349523125", "oz ounce ounces"),
        ("mass", "453.59237", "lb lbs"),
        ("volume", "0.001", "ml millilitre millilitres"),
        ("volume", "1", "l litre litres liter liters"),
        ("data", "1", "kb kilobyte kilobytes"),
        ("data", "1000", "mb megabyte megabytes"),
        ("data", "1000000", "gb gigabyte gigabytes"),
        ("data", "1000000000", "tb terabyte terabytes"),
        ("celsius", "1", "c celsius"),
        ("fahrenheit", "1", "f fahrenheit"),
        ("share", "1", "% percent"),
        ("count", "1", "time times"),
        ("usd", "1", "$ usd dollar dollars bucks"),
        ("eur", "1", "€ eur euro euros"),
        ("gbp", "1", "£ gbp pound pounds"),
        ("jpy", "1", "¥ jpy yen"),
        ("inr", "1", "₹ inr rupee rupees"),
        ("chf", "1", "chf franc francs"),
    )
    for word in words.split()
}
CURRENCIES = _words("usd eur gbp jpy inr chf")
