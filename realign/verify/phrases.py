"""The phrases of English by which a text denies, hedges, reports, supposes, offers, takes back and refuses.

Patterns alone; what follows from them is in `realign.verify.claims`. They are of the language, not of any workflow's
phrasings, and read text whose contractions are written out (`realign.verify.form`).
"""

import re

_I = re.IGNORECASE
SENTENCE = re.compile(r"(?<=[.?!])[\"')\]]*\s+|\n+")
SENTENCE_END = re.compile(r"(?<=[.?!])[\"')\]]*\s+(?!or\b)|\n+", _I)  # "13 ... or 14" is one
# Words of denial or doubt that deny or doubt nothing: two denials, and figures of speech.
FIGURES = re.compile(
    r"\b(?:(?:(?:there|it|that) is |there can be )?(?:no|without(?: any| a)?|beyond(?: any| all| a)?|not (?:any|a|in))"
    r" (?:shadow of a |reasonable |possible )?(?:doubts?|question|denying|mistake about it|mistaking it)(?: that"
    r"| about it)?"
    r"|(?:not|never|nobody|no one|cannot|hardly|not at all)(?: (?:would|could|can|should|will|ever|has|have|seriously"
    r"|really|sensibly|reasonably|honestly|be|been|go|at all|in any way|an?)){0,4} (?:wrong|false|incorrect|untrue"
    r"|mistaken"
    r"|mistake|inaccurate|deny|denies|denied|doubt|doubts|doubted|disputes?|disputed|rejects?|challenged?"
    r"|contest(?:ed)?"
    r"|argue with|disagree(?: with)?|quarrel with|object to)\b(?: (?:it|that|with|to say|to call it))?(?: that)?"
    r"|not (?:the case |true |so )?(?:that|as if|as though) (?:\w+ ){0,4}?(?:not|never)"
    r"|(?:wrong|false|incorrect|untrue|mistaken?|a mistake|an error|a lie) to (?:say|think|claim|believe"
    r"|call it)(?: that)?"
    r" (?:\w+ ){0,4}?(?:not|never)|(?:none|no one|nobody|no|nothing) (?:other|else) (?:than|but)"
    r"|(?:not|cannot|could not) (?:be )?(?:anything|anyone|anywhere|any) (?:other|else) (?:than|but)"
    r"|(?:(?:will|would|do|does|did|can|could|has|have) )?(?:not|never|cannot) (?:\w+ )?(?:anything|anyone|anybody"
    r"|anywhere"
    r"|any \w+)(?: else)? (?:but|except|other than|besides)|(?:there is )?no \w+ but (?=the |an? |[A-Z])"
    r"|(?:wrong|false|incorrect|untrue|mistaken|no reason|no cause|no grounds) to (?:deny|doubt|dispute"
    r"|question)(?: that)?"
    r"|unless (?:my )?memory (?:fails|deceives)(?: me)?|look no further than|make no mistake|never fear"
    r"|no two ways about it|no ifs (?:and|or) buts|not until"
    r"|not (?:in doubt|up for debate|open to question)|none but|without fail"
    r"|no one but|nothing but|(?:if|unless) I am (?:not |very much |badly )?(?:mistaken|wrong)|if I am not mistaken"
    r"|if (?:I|memory) (?:remember|recall|serves?)(?: me)?(?: correctly| rightly| right| well)?"
    r"|(?:as )?you (?:may|might|probably|surely)(?: well)?(?: not)? (?:already )?(?:know|have heard|remember)(?: that)?"
    r"|believe it or not|like it or not|needless to say|not to worry|do not worry|why not|no (?:problem|worries"
    r"|need to \w+)"
    r"|not surprisingly|no surprise|last but not least|not (?:a |just a |merely a )?(?:guess|maybe|perhaps|probably"
    r"|possibly|hunch|estimate|approximately|roughly|about)\b|(?:no|not|neither)(?: \w+){0,2}? (?:more|fewer|less)"
    r"(?: than)?(?:,|,? (?:and|or|nor))+(?: no| not| nor)?(?: \w+){0,2}? (?:more|fewer|less)(?: than)?"
    r"|I hope (?:that|this|it) helps|of course"
    r"|(?:if|when|unless|should|in case|for) (?:you|we|one|anyone|anybody|somebody|someone|those)"
    r"(?: are| were| have| had| ever"
    r"| should| who| really| still| want to| would like to){0,3} (?:ask\w*|mean\w*|talk\w*|speak\w*|want\w*|must"
    r"|need\w*"
    r"|really|insist\w*|look\w*|check\w*|consult\w*|count\w*|wonder\w*|care\w*|wish\w*|know|forg\w+"
    r"|doubt\w*)\b[^,:;.]*|as (?:\w+ ){1,3}(?:says?|states?|shows?"
    r"|notes?|writes?|wrote"
    r"|said|put it|puts it)(?=,)|(?:I )?cannot stress enough(?: that)?"
    r"|what you may not know is that)\b,?", _I)
TAG_QUESTION = re.compile(r"[,;]? ?\b(?:(?:is|was|are|were|does|did|do|has|have|would|will|could) not"
                          r" (?:it|he|she|they|that|there|you)|(?:is|was) it not|is not that so|right|correct|yes"
                          r"|no|eh|ok|okay|am I right"
                  r"|do not you think|is not he|is not she|are not they|does not (?:it|he|she))\?$", _I)
# Begins a question that asks, whatever its last word.
INVERTED = re.compile(r"^\W*(?:is|are|was|were|do|does|did|can|could|would|will|has|have|which|what|who|how|when"
                      r"|where)\b(?! not)", _I)
# A question that tells: "did you know that X?".
TOLD = re.compile(r"^\W*(?:who|what) (?:else )?(?:if not|but|other than) |^\W*(?:(?:did|do) you (?:not )?(?:know"
                  r"|realise|realize)|have you (?:not )?heard"
                  r"|would you believe) that ", _I)
# Where a condition ends: what comes then is so.
TURN = re.compile(r"[;:]\s|\s--?\s|,?\s?\b(?:but|however|yet|nevertheless|still|actually|otherwise|in (?:fact"
                  r"|reality|truth)"
                  r"|as it is|as things stand|as it stands|without (?:it|that|them)|in the end|(?:and|so) now)\b,?", _I)
# Where one clause ends and the next begins: a denial or hedge before it does not reach past it.
CLAUSE_BREAK = re.compile(
    r"[;:]\s|\s--?\s|,?\s?\b(?:(?<!anything )(?<!all )but(?! also)|however|although|though|whereas|while|yet|because"
    r"|sondern|sino|pero"
    r"|mais|otherwise|leaving|in (?:fact|reality|truth)|as a matter of fact|as it is|as things stand|as it stands)\b,?"
    r"|(?=\b(?:I|we) (?:would |will )?(?:pick|choose|select|go (?:with|for)|opt for|settle (?:on|for)|vote for|take)\b)"
    r"|,\s(?=(?:and |so |actually |really |in fact |in truth |rather |instead |now |then )*"
    r"(?:it|the|this|that|its|his|her|he|she|they|we|I|my|you|there|which|who)\b)"
    r"|\b(?:and|so) (?=(?:it|its|the|his|her|he|she|they|I)\b)", _I)
FALSE = (r"(?:wrong|incorrect|false|untrue|mistaken|inaccurate|erroneous|outdated|nonsense|rubbish|bogus|invalid|fake"
          r"|(?:an? |the |just an? )?(?:\w+ )?(?:mistake|error|myth|misconception|lie|fallacy|mix-up|misunderstanding"
          r"|confusion|misprint|typo|slip|hoax|exaggeration|wrong \w+|red herring|trap)|ruled out|excluded"
          r"|disproved|disproven"
          r"|debunked|refuted|rejected|discredited|corrected|out of date|no longer (?:true|right|correct|the case"
          r"|so|valid)|no good|out of the question"
          r"|impossible|not (?:true|so|right|correct|it|the (?:case|answer|right \w+|correct \w+|one)|accurate|what))")
BE = r"(?:is|are|was|were|be|been|am|seems|looks|sounds|proves?|proved|turned out(?: to be)?)"
DENIED_BEFORE = re.compile(
    r"\b(?:not|never|no|nor|neither|nobody|no one|none|nothing|cannot|hardly|rather than|instead of|as opposed to"
    r"|unlike"
    r"|other than|except(?: for)?|apart from|excluding|den(?:y|ies|ied)|reject\w*|rul(?:e|es|ed|ing) out|exclud\w+"
    r"|nicht|kein\w*|n'est pas|n'etait pas|est pas|nao e|non e|is niet|no es|would have (?:been|said)"
    r"|dismiss\w*|discard\w*|refut\w+|disprov\w+|(?:false|wrong|incorrect|untrue|mistaken?|impossible|myth|lie|nonsense"
    r"|error|fallacy|absurd) (?:that|to|about)|far from|anything but|no longer|(?<!is )(?<!are )(?<!get )used to"
    r"|formerly|once was|was once"
    r"|stopped"
    r" being|(?:wrongly|mistakenly|falsely|erroneously|incorrectly)|misconception that|wrong answer(?: is)?"
    r"|(?:confus\w+|mistak\w+) (?:it |this |that )?(?:with|for)"
    r"|(?:wrong|false|incorrect|mistaken) (?:answer|claim|belief|idea|guess)(?: is| that)?|never mind"
    r"|forget|(?:was|were) (?:supposed |meant |going |originally )?to be)\b[^,]*$"
    r"|\breplac\w+ (?:the |an? |its |their |his |her )?$", _I)
DENIED_SELF = re.compile(rf"^(?P<between>[^.;!?]*?)\b{BE}\b(?: \w+){{0,2}}? {FALSE}\b(?! (?:that|to)\b)", _I)
DENIED_AFTERWARDS = re.compile(
    rf"(?:\b(?:but|though|which|yet|and|however)|[,;:-])[ ,]*(?:all )?(?:of them |(?:that|this|it|he|she|they|which"
    rf"|you|we|I)"
    rf" )?(?:\w+ )?{BE}(?: \w+){{0,2}}? {FALSE}\b(?! (?:that|to)\b)", _I)
DENIED_PREDICATE = re.compile(
    r"^[\"')\] ]*(?:\w+ ){0,2}?(?:(?:is|are|was|has|have|can|could|does|do|did|will|would|must|should|may)(?: \w+)?"
    r" (?:not|never)|cannot|no es|n'est pas|ist nicht|nao e|non e|is niet|never (?:was|has|is)|(?:has|had"
    r"|have) (?:nothing|no part|little)|(?:tried and |attempted and )?(?:failed|gave up|withdrew)"
    r"|(?:is|was|are|were|lives?|lies) (?:\w+ )?(?:elsewhere|somewhere else|nowhere)"
    r"|(?:is|are|was|were) (?:wrongly|mistakenly|falsely|erroneously|incorrectly)"
    r"|(?:is|are|was|were) (?:what|the one|something|someone) (?:\w+ ){1,3}(?:refuses?|avoids?|hates?|rejects?"
    r"|dislikes?|never|not))\b"
    r"(?! (?:an?|far|big|small|large|old|only|just|in|on|at|as|very|too|really|merely|simply|by|near)\b)", _I)
DENIED_SHORT = re.compile(r"^[\"')\]]*\s?[,;:!?-]*\s*(?:(?:(?:no|nope|wrong|false)(?=;)"
                           r"|(?:no|nope|wrong|false|incorrect|not|never|not (?:really|so"
                           r"|true|at"
                           r" all|it))[.!]*$)|(?:is|was) (?:no longer|out\b|no (?:more|good))|used to be\b"
                           r"|(?:sounds|seems|looks) (?:right|tempting|plausible|good),? but\b|had been\b)", _I)
PAST = re.compile(r"^(?: \w+)? (?:was|were|had|held|did)\b[^;.]*\b(?:last (?:year|time|week|month)|once|before"
                  r"|formerly|until"
                   r"|previously|ago"
                   r"|originally|in the past)\b", _I)
OTHER_SUBJECT = re.compile(r"\b(?:anyone|those|people|everyone|everybody|whoever|anything|everything|all|any|other"
                            r"|others"
                            r"|else|who|if|but|nothing|no other)\b", _I)
VERDICT = r"(?:\b(?:that|this|it|they|he|she|these|those|which|everyone|everybody|all of (?:them|these))\b (?:\w+ )?"
DENIES_LAST = re.compile(
    rf"^\W*(?:(?:but|yet|well|sadly|actually|alas|and),? )?(?:no|nope|wrong|false|incorrect|untrue|nonsense"
    rf"|(?:I|we) (?:do|would) not (?:think|believe|say) so|I doubt (?:it|that)|(?:I am )?afraid not|I think not"
    rf"|far from it|by no means|hardly|(?:certainly|definitely|absolutely|of course|surely) not|not (?:so|true|really"
    rf"|at all|quite|right|correct|the case)|not|{VERDICT}{BE}(?: \w+){{0,2}}? {FALSE}\b(?! that\b))|(?:I|you"
    rf"|we) (?:am|are)"
    rf" (?:\w+ )?(?:wrong|mistaken)|(?:that|this|it|he|she|they) (?:is|was|does|did|has|are|were) not(?: \w+)?|(?:that"
    rf"|it) cannot be(?: \w+)?|(?:\w+ ){{1,4}}(?:proves?|shows?|says?|suggests?|indicates?|tells?|begs? to|found"
    rf"|know) (?:otherwise"
    rf"|differently|differ|better|the (?:opposite|contrary))|(?:\w+ ){{1,3}}disagrees?|not any ?more|not anymore"
    rf"|no longer)"
    rf"\s*(?:$|[.,;:!-])", _I)
AFFIRMS_LAST = re.compile(r"^\W*(?:yes|yeah|yep|correct|right|true|indeed|exactly|(?:it|he|she|they|that"
                          r"|this)(?: sure| indeed| certainly)? (?:is|was|does|did|has|are|were)(?=[.,;!]|$"
                           r"| indeed| (?:the (?:one|ones|answer|right|correct)|who|it)\b)"
                           r"|that (?:is|would be)"
                           r" (?:right|correct|true|it|the one)|(?:I|we) (?:think|believe|would say|am sure"
                           r"|am certain) (?:so|(?:it|he|she|that) (?:is|was|did|does))|you bet"
                           r"|absolutely|certainly|definitely)\b", _I)
HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|might|(?-i:may)|(?:can|could) be|could have been|conceivably|potentially|presumably"
    r"|probably"
    r"|supposedly|allegedly|reportedly|apparently|arguably|likely|unlikely|guess\w*|suspect|suppose|seems?"
    r"|appears? to be"
    r"|doubt|doubtful|unclear|debatable|disputed|in dispute|uncertain|hunch|inclined|tempted|lean(?:ing)?|rumou?r\w*"
    r"|wonder\w*|a chance|chances are|my money|vaguely|if anything|want to say|would like to say|estimate[ds]?"
    r"|tends? to|mostly|partly|largely"
    r"|feeling|impression|instinct|gut|wager|would bet"
    r"|I bet|venture|hazard"
    r"|presume|gather|speculat\w+|imagine|plausibl[ey]|conceivable|tentative(?:ly)?|educated guess|as likely as not"
    r"|cannot (?:rule out|exclude)|not (?:rule out|exclude))\b", _I)
DOUBT = re.compile(
    r"\b(?:(?:not|never)(?: \w+){0,4} (?:sure|certain|positive|confident)|unsure|uncertain|(?:could|may"
    r"|might) (?:well )?be"
    r" (?:wrong|mistaken|confusing|mixing)|cannot (?:be (?:\w+ )?(?:sure|certain)|swear|say for (?:sure|certain)"
    r"|guarantee|promise)"
    r"|not (?:quote me|hold me to|take my word|swear to|bet on)|could be off|far from (?:sure"
    r"|certain)|less than (?:sure|certain)|(?:just|only|wild|pure) (?:a )?(?:wild )?guess|guessing|would (?:have to"
    r"|need to)"
    r" check|grain of salt|no guarantees?|do not trust me|hard to (?:say|tell)|or so (?:I|they|he|she|people|we)\b"
    r"|or (?:maybe|perhaps)?(?: not| something)"
    r"(?: else| like that)?[.?!]*$|(?:who|nobody) knows|double[- ]check)\b", _I)
# Said before a colon or a dash of what stands behind it.
GUESSED_FIRST = re.compile(r"\b(?:guess|maybe|perhaps|possibly|probably|unsure|not sure|estimate)\W*$", _I)
OF_THE_SPEAKER = re.compile(r"\W*(?:but |though |however,? )?(?:I|it is|that is|do not|just|not)\b", _I)
DOUBT_FIRST = re.compile(r"\b(?:(?:not|never)(?: \w+){0,2} (?:sure|certain|positive)|unsure|uncertain)(?: of (?:it"
                          r"|this|that)| about (?:it"
                          r"|this|that)| at all| here)?,? ?(?:but|though|however|yet|[;:-])", _I)
WHETHER = re.compile(r"\b(?:whether|if|suppos(?:e|ing)|imagine|assuming|unless|in"
                      r" case|pretend|candidates?|options?|possibilit(?:y|ies)|choices?)\b", _I)
CONDITION = re.compile(r"^\W*(?:as long as|so long as|on condition that|if|suppose|supposing|imagine|assuming"
                       r"|unless|in case|provided)\b|^\W*(?:had|were"
                        r"|should)\b"
                        r"(?=.*\b(?:would|could|might|may)\b)|\b(?:would|could|might) .*\b(?:if|had|unless|were)\b", _I)
CONDITION_AFTER = re.compile(r"^[^.;]*\b(?:as long as|so long as|on condition that|if|unless|provided"
                             r"|assuming)\b(?! (?:not|you|I|memory)\b)", _I)
# A denial or an affirmation of which the speaker is not sure.
UNCERTAIN = re.compile(
    r"\b(?:(?<!no )not (?:only|just|impossible|unlikely|implausible|excluded|ruled out|everyone|everybody|all"
    r"|out of the question)|(?:no one|nobody)"
    r" (?:is |can be )?(?:sure|certain|knows)|(?:some|many|critics|experts|others|people|he|she"
    r"|they) (?:\w+ )?(?:deny|denies|reject|rejects|dispute"
    r"|disputes|doubt|doubts)|(?:not|never)(?: \w+){0,2} (?:sure|certain|convinced|positive|confident|necessarily"
    r"|clear|proven"
    r"|confirmed)|cannot"
    r" (?:confirm|guarantee|swear|say|tell|promise|be (?:sure|certain))|not (?:confirm|guarantee|swear|rule out"
    r"|exclude|know))\b", _I)
CONFIRMED = re.compile(r"[;:,-] ?(?:and |well,? )?(?:yes|it is|indeed|correct)[.!]*$", _I)
MODAL = re.compile(r"\b(?:maybe|perhaps|(?<!not )(?<!cannot )possibly|might|(?-i:may)|probably|likely"
                    r"|could (?:well )?be)\b", _I)
HEDGE_TAIL = re.compile(r"^[^.;:!?]*, (?:but )?(?:I (?:would |can only )?(?:guess|suppose|suspect|imagine)"
                         r"|it (?:seems|appears)|maybe|perhaps"
                         r"|possibly|probably|apparently|presumably|supposedly|at a guess)\b", _I)
ENDORSED = re.compile(r"^[^.;!?]*?\b(?:and|which|who|as)\b (?:\w+ )?(?:is|are|was|were) (?:\w+ )?(?:right|correct"
                       r"|true)\b", _I)
ENDORSES_LAST = re.compile(r"^\W*(?:and )?(?:(?:they|he|she|that|this|it|which) (?:is|are|was"
                            r"|were) (?:\w+ )?)?(?:right|correct|true)\b", _I)
SAYS = (r"(?:thinks?|thought|believes?|believed|says?|said|claims?|claimed|assumes?|assumed|supposes?|guess(?:es"
         r"|ed)?|told|tells"
         r"|insists?|insisted|argues?|argued|imagines?|expects?|swears?|swore|answers|answered|replied|wrote|writes"
         r"|reckons?"
         r"|names|name(?! (?:is|was|of)\b)|named|calls?(?! (?:it|this|him|her|them)\b)|called(?! (?:it|this|him"
         r"|her|them)\b)"
         r"|maintains?|suggests?|suggested|(?:would|will|might) (?:say|tell|answer"
         r"|guess|think|claim)"
         r"|are told|hears?"
         r"|heard|read)")
SOURCE = (r"(?:passages?|text|notes?|books?|source|documents?|article|atlas|map|table|list|page|context|encyclopa?edia"
          r"|records?|register|chart|label|sign|plaque|inscription|log|ledger|manual|programme|program|archives?|census"
          r"|dictionary|chronicle|deeds?|files?|papers?|letters?|diar(?:y|ies)|charter|contract|website|study"
          r"|research|data|evidence|facts?|minutes|almanac|gauge|clock|thermometer|report|entry|caption|paragraph"
          r"|sentence)")
REPORTED_BEFORE = re.compile(
    rf"\b(?:everyone|everybody|someone|somebody|people|folks?|some|many|most|others?|critics|you|they|we|he|she|legend"
    rf"|rumou?r|(?:my|your|his|her|our|the|an?|one) (?!{SOURCE}\b)\w+|(?-i:(?!No\b|Not\b"
    rf"|Never\b|Wikipedia\b|Britannica\b|Passage\b)[A-Z])\w+)(?: (?:of|in"
    rf"|around) \w+)?(?: \w+)?"
    rf" (?!(?:(?<=is )|(?<=was )|(?<=are )|(?<=were ))(?:called|named)\b){SAYS}\b[^;]*$"
    rf"|\baccording to (?:the|an?) (?!(?:\w+ )?{SOURCE}\b)\w+"
    r"|\b(?:legend|rumou?r) has it|\bI (?:had |have )?(?:first|once|at first|used to|originally|initially|always"
    r"|also|had)?"
    r" ?(?:thought|believed|guessed|assumed|suspected|expected|think at first|said|wrote)\b|\b(?:first"
    r"|initial) (?:thought|guess"
    r"|instinct|answer)"
    r"|\b(?:at first|at one time|in theory|according to (?:some|many|most|legend|rumou?r|my|people|him|her|others?"
    r"|popular)"
    r"|it is (?:often |widely |commonly |sometimes )?(?:said|thought|believed|claimed|assumed|rumou?red)"
    r"|(?:common|popular|usual|obvious|frequent|tempting) (?:belief|answer|guess|opinion|mistake|error|claim|choice)"
    r"|you would think|one (?:would|might) think|as if|pretends?)\b", _I)
REPORTED_AFTER = re.compile(
    rf"^[\"'),. ]*(?:{SAYS} (?:the|my|some|many|people|he|she|they|everyone|(?-i:[A-Z]))|(?:(?:he|she|they|people"
    rf"|some|many|everyone"
    rf"|my \w+|the (?!{SOURCE})\w+) {SAYS})\b(?! that)|(?:is|was|are) (?:\w+ )?(?:often|widely|commonly|usually"
    rf"|sometimes"
    r"|frequently)? ?(?:said|thought|believed|claimed|assumed|rumou?red|alleged|named|cited|given|supposed"
    r"|considered by|what"
    r" (?:\w+ ){1,3}(?:say|said|think|thought|believe|claim)s?|the (?:common|usual|popular|obvious"
    r"|tempting) (?:answer|guess)"
    r"|a (?:common|popular|tempting|good) (?:answer|guess))\b|(?:comes?|springs?) to mind|claim(?:s|ed) to\b"
    r"|at the (?:earliest"
    r"|latest))", _I)
ALTERNATIVE_AFTER = re.compile(r"^[\"')]*(?:[,.]* ?\b(?:or|and/or|versus|vs\.?)\b(?! so\b| thereabouts| more\b| less\b"
                                r"| fewer| rather)|\s?/\s?\w)", _I)
ALTERNATIVE_BEFORE = re.compile(r"\b(?:near|close to|not far from|next to)(?: the)? $|(?:looks|tastes|sounds"
                                r"|smells|feels|seems)"
                                r" (?:like|as if)(?: an?| the)? $|(?:\b(?:or|and/or|versus|vs\.?)|\w\s?/"
                                r"|\beither)\s*(?:even |the |an? |in "
                                 r"|perhaps |maybe |\")*$"
                                 r"|\b(?:either|one of|among|between|any of|out of)\b[^.;:]*$|^\W*of (?=\w)(?!(?:the"
                                 r"|these|those) \w+,)[^.;:]*$", _I)
RETRACTION = re.compile(
    r"\b(?:wait|hold on|scratch that|strike that|correction|oops|my (?:mistake|bad|apologies)|on second thoughts?"
    r"|on reflection"
    r"|I mean(?:t)?(?: to say)?|let me correct|I take (?:that|it) back|make that|no,|rather,|or rather|sorry"
    r"|I misspoke|edit:|let me (?:see|recount|redo|rephrase)|I swapped|should (?:read|have been|be)"
    r"|come to think of it|check that|nope,|not so fast|my error|I (?:was|am|stand) (?:wrong|mistaken)"
    r"|I stand corrected|actually,? (?:no|scratch)|ignore that|hmm)(?!\w)", _I)
# Begins a sentence that corrects the one before it, if it claims something else.
CORRECTS = re.compile(r"^\W*(?:(?:but|no|well),? )*(?:actually|in fact|in reality|rather|instead)\b", _I)
# Takes back what was said before, even where nothing is said instead.
TAKES_BACK = re.compile(r"\b(?:wait|hold on|scratch that|strike that|on second thoughts?|let me (?:think|check|try"
                        r"|start)(?: \w+)? again|I take (?:that|it)"
                        r" back|ignore that|or (?:is|was|could|might) it|I misspoke|that is not what I meant)\b", _I)
# A question that takes back what was said before it.
ASKS_ANEW = re.compile(r"^\W*(?:hmm+|or|wait|maybe|perhaps|unless|no)\b", _I)
# Says that something is not known, not stated or does not exist; not that the reader knows little of other things.
REFUSAL = re.compile(
    r"(?<!you )(?<!they )\b(?:(?:do|did|does) not (?:\w+ )?(?:know|recall|remember)\b(?! (?:much|many|a lot"
    r"|everything|all|why"
    r"|how|every|any(?:one|body)|another|a better|what (?:you|to do)|that (?:he|she|it|they)))"
    r"|(?:says?|said|states?|mentions?|tells?|gives?|contains?|has) (?:us |me )?(?:nothing|no (?:word|mention|hint))"
    r"|no \w+ (?:of|by|with|called|named) (?:that|this|such)\b|seems? (?:to be )?(?:made[- ]up|fictional|invented)"
    r"|need more (?:information|context|details|data)"
    r"|not (?:an? )?\w+ (?:that |which )?I (?:have|know|recogni[sz]e|am)\b"
    r"|(?:find|found|know|knew|see|saw|recall) (?:of )?(?:nobody|no one|nothing|none|no)\b(?! (?:better|more|other"
    r"|reason))"
    r"|no (?:conozco|puedo (?:decir|responder|contestar|saber)|tengo (?:ni )?(?:idea|informacion))|ni idea"
    r"|je ne (?:connais|peux)"
    r"|aucune idee|ich kenne (?:\w+ )?(?:kein\w*|nicht)|kann ich nicht|keine ahnung|nessuna idea|non (?:conosco|posso)"
    r"|nao (?:conheco|posso|tenho)|(?:would|will|not|to) (?:have to )?(?:be making|make|invent) (?:it|that|this"
    r"|one|something|anything)"
    r"(?: up)?|I would only be inventing"
    r"|no (?:knowledge|idea(?! why| how come| what h)|clue|information|records?|data|mention|details?"
    r"|way (?:of|to)|answer"
    r"|trace|evidence"
    r"|such (?!luck|thing as a (?:stupid|bad)))(?! (?:beyond|except|besides|other than|apart from"
    r"|to the contrary)\b)|not able to (?:say|tell|know|answer|find|determine|give)|never (?:heard|come across"
    r"|encountered|seen)"
    r"|(?:nobody|no one|nothing) (?:(?:has |ever )*told|knows|says|here|in the|is (?:known|said|stated))"
    r"|not(?: \w+)? (?:stated"
    r"|mentioned"
    r"|given|specified|provided|listed|recorded|documented|disclosed|reported|included|available"
    r"|covered)(?! (?:often|enough))"
    r"|(?:do|does|did) not (?:(?:seem|appear) to |\w+ )?(?:say|mention|state|tell|specify|give|contain|include"
    r"|provide|list|cover|exist"
    r"|appear|reveal"
    r"|disclose|indicate|answer|have (?:any |an? |enough |that |the |such )*(?:information|answer|data|idea|currency"
    r"|capital|clue"
    r"|knowledge|record|mention))"
    r"|(?:cannot|could not|can neither) (?:\w+ )?(?:say(?! (?:enough|no\b|(?:that )?I\b))|tell|know|answer|determine"
    r"|find|be (?:\w+ )?(?:known"
    r"|determined|answered|said|found|established|inferred))|not sure(?! why| how| what you| (?:any|every"
    r"|some)(?:one|body))|(?:is|are|was) not (?:\w+ )?(?:known"
    r"|clear|sure|real|a real|aware|familiar)|not known|not aware of|unaware of|not familiar with|unfamiliar with"
    r"|(?:is|are|was|remains?|as|it) (?:\w+ )?(?:unknown(?! to (?:many|most|some|few))|unclear|unspecified"
    r"|undisclosed|unstated)"
    r"|^unknown|unable to (?:say|tell|know|answer|find|determine|give)|impossible to (?:say|tell|know|answer|determine)"
    r"|(?:hard|difficult) to (?:say|tell|know)|insufficient (?:information|data)|not enough (?:information|data"
    r"|context)"
    r"|(?:has|have|had) no (?!doubt|problem|trouble|need|equal|longer|more\b)\w+|beats me|(?:is|are) (?:silent"
    r"|made[- ]up"
    r"|fictional|imaginary|invented)|(?:made[- ]up|fictional|imaginary|invented|non-?existent) (?:place|name|country"
    r"|city|person|word"
    r"|thing|\w+)|there (?:is|was|are|were) not (?:any|an?|such)\b|(?:has|have|had) never (?:\w+ )?(?:existed|been"
    r"|had|heard)|never existed"
    r"|no \w+ (?:is|was|are|were|has been) (?:\w+ )?(?:given|stated|mentioned|listed|named|recorded|known|provided"
    r"|specified)|false premise"
    r"|(?:no one|nobody) (?:can|could) (?:say|tell|know)|anyone's guess|(?:does|do|did) not ring a bell"
    r"|not possible to|out of (?:my|the) (?:scope"
    r"|knowledge)|outside (?:my|the|what)|(?:cannot|could not|did not|do not) (?:\w+ )?(?:find|see|have|identify"
    r"|locate)|not (?:an? )?(?:actual"
    r"|existing|in (?:the|my|any))|can only guess|who knows|how (?:should|would) I know|none of (?:the|these|those"
    r"|them) ?\w* (?:\w+ )?(?:mention|say|state|tell|give|name|answer)s?"
    r"|no \w+ (?:\w+ )?(?:mentions|says|states|tells|gives|names|answers)|only (?:mentions?|says?|states?|tells?"
    r"|gives?|lists?|covers?)"
    r"|(?:am|is|are|was|were) not (?:\w+ )?told|knows? nothing|would (?:only )?be (?:a |pure |mere )*(?:guess\w*"
    r"|speculation)"
    r"|not applicable|unanswerable|undetermined|undefined|makes no sense|fails to (?:say|mention|state)|omits"
    r"|left (?:unsaid|open)|but not (?:the|its|his|her"
    r"|their|who|what|where|when|how)|not (?:\w+ )?(?:discussed|addressed|described|named|identified|explained"
    r"|published|answerable|determined|possible)|no (?:lo )?se\b(?! \w+ (?:si|que)\b)|je ne sais(?: pas)?"
    r"|weiss? (?:es |ich )?(?:\w+ )?nicht|weiß (?:es |ich )?(?:\w+ )?nicht|non lo so|nao sei"
    r"|no (?:lo )?sabemos|se desconoce|lo ignoro|weet (?:ik )?(?:het )?niet|v[ei][dt] (?:ikke|inte)|(?:not|have not"
    r"|has not) (?:a|the)"
    r" (?:clue|idea|foggiest|faintest)|^n/?a|не знаю|неизвестно|не указано|不知道|不清楚"
    r"|わかりません|知りません|모릅니다|모르겠|no se sabe"
    r"|on ne sait|unbekannt|inconnue?|desconocid[oa]|sconosciut[oa]|nicht bekannt|lacks? (?:any |the )?\w+"
    r"|leaves? (?:it|that|this) open|wish I knew|beyond my knowledge"
    r"|cannot be answered|no longer known|there (?:is|was|are|were|has been)(?:, [^,]{1,40},)? (?:nothing"
    r"|no)\b(?! doubt| question"
    r"| need| reason))(?!\w)", _I)
# Will not say, which does not tell whether it could.
DECLINES = re.compile(r"\b(?:(?:would|will|can|may|do|am) ?not (?:want to |going to |allowed to |wish to "
                      r"|able to )?(?:help|discuss|share"
                      r"|comment|disclose|assist|answer)|rather not|prefer not|refuse to|declines? to)\b", _I)
WORD = re.compile("[a-z]+")
