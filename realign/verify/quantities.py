"""The phrases by which a text hedges, bounds and qualifies a number that it names, and what it says of one besides."""

import re

_I = re.IGNORECASE
LABEL = re.compile(r"^\s*\d+[.)]\s+(?=\S)", re.MULTILINE)  # of an item of a list
ASIDE = re.compile(r"\([^()]*\)")
# What is said of a number besides, with numbers of its own: "27, with 9 more expected", "164, which is more than 150".
COMMENT = re.compile(
    r",? (?:(?:which|that) (?:is|was|are|were) (?:\w+ )?(?:more|less|fewer|over|under|above|below|twice|half"
    r"|double|\w+er) "
    r"|(?:which|who|where|whose)\b(?! (?:makes?|gives?|leaves?|equals?|comes?|brings?|adds?|yields?|means?|is|was"
    r"|are|were|has"
    r"|had)\b)"
    r"|(?<=, )(?:\w+ed|rebuilt|sold|lost) (?:again )?(?:in |on |by |around )?(?=\d)|(?:up|down) from |compared (?:to"
    r"|with) |as against |(?:of which|of whom|including|not counting"
    r"|not including|besides)\b"
    r"|with \d+ (?:more|others?|left|extra|further|of)\b"
    r"|(?:(?:exactly |just |about |only |some )?\d+ (?:\w+ )?|far |many |well |one |a (?:few|dozen) )?"
    r"(?:more|less|fewer|greater|higher"
    r"|lower|longer|later|earlier|shorter|older)(?: \w+)? than (?=.*\d)"
    r")[^.;]*[.;!]?$", _I)
OUT_OF = re.compile(r"(?<=\d)(?: \w+)? (?:out )?of (?:the |all |all the |about |some )?\d+")
THEN = re.compile(r"(?:^|[;,.] )(?:\w+ )?(?:last (?:year|month|week|time|season)|yesterday|previously|formerly"
                   r"|back then|in the past"
                   r"|a year ago|earlier)\b[^;,.]*", _I)
BY_THE_WAY = re.compile(r"\W*(?:and )?(?:by the way|btw|incidentally|fun fact|did you know|on another note|ps|p s"
                         r"|side note|as an aside|in other news|trivia)\b", _I)
CAUSE = re.compile(r",? (?:because|since|given that) .*$|,? as [^,]*$", _I | re.DOTALL)
OPERATOR_AFTER = re.compile(r"\s*[+*×÷/x^]\s*[-(]?\d|\s+-\s+\(?\d|-\d+\s*=", _I)
OPERATOR_BEFORE = re.compile(r"\d\)?(?: \w+)?(?:\s*[+*×÷/^]\s*|\s+-\s+|\s?x\s?)[-(]?$", _I)
ABOUT_BEFORE = re.compile(
    r"(?:\b(?:something like|in the ballpark of|an estimated|estimated at|close (?:on|upon)|getting on for|say,"
    r"|about|around|roughly|approximately|approx\.?|nearly|almost|close to|circa|ca?\.?|some|near(?: to)?"
    r"|somewhere"
    r"(?: near| around)|in the (?:region|neighbou?rhood|vicinity) of|of the order of|on the order of|not quite"
    r"|just (?:about"
    r"|shy of|short of)|practically|virtually|as good as|more or less|give or take|average of|plus or minus|up to"
    r"|as many as"
    r"|as much as)|[~≈≃±]|\+/-)\s*(?:the |an? )?[$€£]?$", _I)
ABOUT_AFTER = re.compile(
    r"^(?: \w+)?,?(?:-?ish\b| \(?(?:an? )?(?:estimate[ds]?|rough\w*|approximate\w*)\b| or so\b"
    r"| at a (?:rough )?(?:count|estimate)| or thereabouts| (?:more or less|give or take|approximately|roughly|approx"
    r"|or something"
    r"|at a guess|on average|plus or minus|almost|nearly)\b|\s?(?:±|\+/-))", _I)
ABOVE = re.compile(r"(?:\b(?:more|greater|higher|larger|longer|later|bigger|older|further|farther|heavier) than"
                    r"|\b(?:over|above"
                    r"|beyond|exceeds?|exceeding|past|upwards? of|in excess of|north of)|(?<!-)>)\s*[$€£]?$", _I)
BELOW = re.compile(r"(?:\b(?:less|fewer|lower|smaller|shorter|earlier|younger|nearer|lighter) than|\b(?:under|below"
                    r"|short of|shy"
                    r" of|south of|not even)|<)\s*[$€£]?$", _I)
LEAST = re.compile(r"(?:\b(?:at (?:the )?(?:very )?least|a minimum of|minimum|not before|no (?:less|fewer|earlier"
                   r"|sooner) than"
                   r"|not (?:less"
                    r"|fewer) than"
                    r"|(?:not|never|cannot be) (?:under|below)|(?:no|not)(?: an?| one)? \w+ (?:less|fewer) than)"
                    r"|>=|≥)\s*[$€£]?$", _I)
MOST = re.compile(r"(?:\b(?:at (?:the )?(?:very )?most|a maximum of|maximum|(?:no|not|never) (?:more|later) than|up to"
                   r"|(?:no|not)(?: an?| one)? \w+ more than|(?:not"
                   r"|never)"
                   r" (?:over|above|exceeding)|(?:not|never) exceeds?|as (?:many|much) as)|<=|≤)\s*[$€£]?$", _I)
LEAST_AFTER = re.compile(r"^(?: \w+)?,?(?:\s?\+(?!\s?\d)| (?:or|and|if not) (?:more|above|over|greater|higher|up"
                          r"|upwards|later)\b"
                          r"| at (?:the )?(?:very )?least| minimum|,? (?:and|or) (?:no|not)(?: an?"
                          r"| one)?(?: \w+)? (?:fewer|less)\b| plus\b(?! \d))", _I)
MOST_AFTER = re.compile(r"^(?: \w+)?,?(?: (?:or|and|if not) (?:less|fewer|below|under|lower)\b"
                         r"| at (?:the )?(?:very )?most"
                         r"| maximum| tops|,? (?:and|or) (?:no|not)(?: an?| one)?(?: \w+)? more\b)", _I)
NOT_ONE = re.compile(r"(?: \w+)?,? and not (?:an?|one)\b(?: \w+)? (?:more|fewer|less)\b(?!.*\bmore\b)", _I)
ODD = re.compile(r"[ -](?:odd|something)\b", _I)  # 30-odd
DECADE = re.compile(r"s\b(?!/)")  # 1840s, the 30s
RANGE = re.compile(r"\s*(?:(?:\w+ )?(?:to|through|till|until|up to)|-{1,2})\s*(?:about |maybe |perhaps )?[$€£]?", _I)
BETWEEN = re.compile(r"\bbetween (?:about )?[$€£]?$", _I)
GREW = re.compile(r"\b(?:grew|rose|went|goes|increased|fell|dropped|changed|moved|climbed|shrank|counts?|raised"
                   r"|cut|reduced|lowered|marked|came"
                   r"|up|down)\b", _I)
# "6 or 7", "6, 7", "between 6 and 7": what stands between two numbers that are offered for choice.
CHOICE = re.compile(r"(?: [a-z]+)?[\s,;/.(]*(?:and|&|or|and/or)?[\s,;/]*(?:(?:is it|was it|it is|it was) )?"
                     r"|.*\b(?:or|maybe|perhaps|possibly)\b.*", _I | re.DOTALL)
FRAME = re.compile(r"(?:it|that|this|(?:the|my|final) (?:\w+ ){0,2}?(?:answer|total|result|number|sum)) (?:is|was"
                    r"|comes to)"
                    r"|answer:", _I)
CIRCUMSTANCE = re.compile(r"\b(?:in|on|at|for|after|by|per|across|within|every|among|during|over|from|with|since|of)"
                           r" (?:the |her |his |its |all |just |only )?$", _I)
NO_NOUN = {"", "is", "and", "or", "in", "all", "left", "now", "altogether", "total", "of", "because", "since", "as",
            "not", "but"}
NEVER_ASKED = {"times", "examples", "questions", "steps"}
DATED = re.compile(r"\b(?:in|on|since|until|during|for|after|before|within|across) $", _I)
FOOTNOTE = re.compile(r"\W*(?:sources?|see|references?|page|pp?\.|updated|last updated|confidence|question \d"
                       r"|example|chapter|figure|table"
                       r" \d|as of|copyright|tokens?|word count)\b", _I)
MARKED = re.compile(r"\b(?:answer|result|solution)\b[^.]{0,30}?(?:is|:|=)|#### ?$|^\s*(?:a|ans)\s*:|\bboxed\b", _I)
NOTHING = re.compile(r"\b(?:none|nothing|no(?! doubt)(?! longer) \w+|not (?:\w+ )?(?:any|a single)|nil|nought"
                      r"|naught)\b", _I)
WORD = re.compile(r"[^\W\d]+")
SIZE = re.compile(r"[ -]?\w* (deep|wide|long|high|tall|thick|broad|heavy|old|across)\b", _I)
DOERS = re.compile(r" \w+ (?:have|had|agreed?|asked?|say|said|told|came|know|think|helped|saw|did|were asked)\b", _I)
TIME = re.compile(r"(?<!not )\b(after|before) (?:the year )?$", _I)
MONTH = (r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar"
          r"|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)")
DAY = re.compile(rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?P<month>{MONTH}),?(?= \d{{4}}\b)"
                  rf"|(?P<before>{MONTH}) \d{{1,2}}(?:st|nd|rd|th)?,?(?= \d{{4}}\b)"
                  rf"|\d{{1,2}}[/.]\d{{1,2}}[/.](?=\d{{4}}\b)|(?P<year>\d{{4}})-\d\d-\d\d\b)")
CENTURY = re.compile(r"(?:st|nd|rd|th) century\b", _I)
BESIDES = (ASIDE, CAUSE, COMMENT, THEN, OUT_OF)  # what is dropped where other numbers are left
IN_ALL = re.compile(r"(?: \w+)? (?:in all|altogether|in total|all told)\b", _I)  # said of the answer
