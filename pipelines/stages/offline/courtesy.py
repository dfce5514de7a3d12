"""The vocabulary of small talk: what may be said without telling anything."""

from __future__ import annotations

from pipelines.stages.wordlist import any_of, word_set

# Interjections before the sentence proper.
OPENINGS = any_of(
    r"""
    hey|hi|hello|hiya|yo|oh|ah|aw+|wow+|woah|whoa|woo+|yay|haha\w*|lol|hmm+|mmm+
    yeah|yes|yep|yup|yea|nope|no|nah|ok|okay|sure|right|well|so|anyway|anyways
    thanks|thank you|thx|cheers|congrats|congratulations|absolutely|definitely|totally|exactly
    true|agreed|indeed|cool|awesome|great|nice|sweet|amazing|perfect|good|for sure|of course
    by the way|btw|actually|honestly|man|dude|bro|bud|gotcha|got it|i see|no worries|no problem
    you know|and|but|also|plus|then
    """
)

# How sentences begin that are said to the other person for their own sake.
ASIDES = any_of(
    r"""
    let me know
    keep (?:it up|up|going|at it|me posted|being|doing|pushing|on|in touch|shining|sharing)
    take care
    talk (?:to you )?(?:soon|later)
    see (?:you|ya)
    catch (?:you|up)
    good (?:luck|job|to|night)
    have (?:a|fun|an)\b
    enjoy\b
    best of luck
    wishing you
    (?:i )?hope (?:you|it|your|that)
    hang in
    stay (?:strong|positive|safe|in touch|tuned)
    don't (?:give up|worry|forget to take)
    i'm here (?:for|to|if)
    here for you
    i'?ll be here
    if you (?:need|ever|want|have)
    you(?:'ve)? got this
    you (?:can do|should be|deserve|rock|inspire|always|must|really)
    you'(?:re|ve|ll|d)\b
    your\b
    can't wait (?:to (?:see|hear|catch|chat)|for you)
    looking forward to (?:hearing|seeing|it|catching)
    way to go
    long time no
    nice (?:to|one|work)
    thanks?\b
    appreciate
    that's (?:what|why) friends
    been (?:a while|ages|too long)
    (?:that |it )?must (?:be|have|feel)
    (?:that|it) must
    sounds\b
    looks\b
    seems like you
    sorry (?:to|for|about|you)
    (?:i'm )?(?:so )?(?:glad|happy|proud) (?:to hear|you|for you|of you|that you)
    i'm (?:so )?sorry (?:to hear|you|for you|that you)
    (?:so )?(?:stoked|pumped) (?:to hear|you|for you|of you|that you)
    (?:so )?(?:glad|happy|proud|stoked|pumped) we
    remember (?:to|you|your|,)\b
    just (?:remember|keep|believe|do it)
    trust me
    believe in
    """
)

# Words that carry no knowledge by themselves: function words first, then praise, courtesy and
# encouragement.
EMPTY_WORDS = word_set(
    """
    a an the this that these those it its it's that's there there's here here's what what's who how
    how's which when where why i i'm i've i'll i'd me my mine myself you you're you've you'll you'd
    your yours yourself he she they they're them their we we're we've we'll us our ourselves is
    isn't are aren't was wasn't were be been being am do does don't doesn't did didn't have haven't
    has had can can't could couldn't would wouldn't will won't should may might must and or but so
    if than then as of in on at to for from by with about into up out over off all any some such
    not no just very really too also even ever still again always never more most much many lot
    lots bit one ones something anything everything things thing stuff way kind sort now let let's
    get gets getting got go goes going gonna wanna make makes making made s t re ve ll d m want need

    hey hi hello wow woah whoa oh yeah yes yep yup nope ok okay sure right well haha lol thanks
    thank thankful grateful appreciate appreciated cheers congrats congratulations great good nice
    cool awesome amazing fantastic incredible wonderful lovely beautiful gorgeous stunning
    impressive inspiring inspirational inspiration super sweet fun funny perfect best better glad
    happy excited exciting proud pumped stoked thrilled psyched sorry sad tough rough hard lucky
    luck love loved loving like likes liked looks look looking sounds sound seems seem feel feels
    feeling hear heard hearing see seeing seen know knowing think thinking guess believe agree mean
    means meant hope hoping wish wishing wait waiting keep keeps keeping work working works journey
    rock rocking rocks crush crushing kill killing worth true truly totally absolutely definitely
    exactly especially pretty quite worries worry problem problems welcome bye goodbye later soon
    talk chat chatting catch care take taking takes enjoy enjoying day night weekend week time
    times moment moments back support supporting supportive supported encouragement encourage help
    helping helps helpful course anytime buddy bud man dude girl guys pal wishes go-getter check
    tell telling told share sharing shared word words kind kindness important special powerful
    meaningful interesting cute adorable tasty delicious yummy yum effort efforts dedication
    passion passionate determination strength strong spirit attitude positive positivity energy
    vibe vibes joy mood idea plan success successful big huge real difference impact deserve
    deserved heart hearts world life people others someone everyone anyone everybody tons bet
    imagine must've long ages since last talked chatted spoke spoken seen what've come coming place
    giving give gave reach reaching achieve achieving achieved
    """
)
