//! German phrases.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "ignoriere, ignorier, ignorieren sie, vergiss, \
        vergessen sie, missachte, missachten sie, überschreibe, verwirf, beachte nicht" },
    Entry { concept: C::Earlier, phrases: "vorherig*, vorig*, bisherig*, obig*, früher*, zuvor, \
        vorangegangen*, ursprünglich*, vorangehend*" },
    Entry { concept: C::All, phrases: "alle, alles, sämtlich*, jegliche*" },
    Entry { concept: C::Rules, phrases: "anweisung, anweisungen, instruktionen, vorgaben, regeln, \
        befehle, richtlinien, systemprompt, aufforderungen, beschränkungen" },
    Entry { concept: C::Your, phrases: "deine, deiner, deinen, ihre anweisungen, dir" },
    Entry { concept: C::Reveal, phrases: "zeig, zeige, zeigen sie, nenne, nennen sie, wiederhole, \
        wiederholen sie, verrate, verraten sie, gib, gib mir, drucke, schreibe, übersetze, \
        wie lautet, wie lauten, was steht in" },
    Entry { concept: C::SystemPrompt, phrases: "systemprompt, system prompt, systemanweisung, \
        systemanweisungen, systemnachricht, deine anweisungen, deine instruktionen, deinen prompt, \
        deine vorgaben, dein prompt" },
    Entry { concept: C::ToldToModel, phrases: "dir gesagt wurde, dir gegeben wurde*, \
        du erhalten hast, du bekommen hast, dir zuvor, man dir" },
    Entry { concept: C::YouAreNow, phrases: "du bist jetzt, du bist nun, du bist ab jetzt, \
        du bist ab sofort, sie sind jetzt, sie sind nun, du bist kein, du bist nicht mehr" },
    Entry { concept: C::FromNowOn, phrases: "ab jetzt, ab sofort, von nun an, von jetzt an" },
    Entry { concept: C::ActCommand, phrases: "tu so, tue so, .spiele die rolle, .verhalte dich, \
        .stell dir vor du, .gib dich als, .agiere als, handle als" },
    Entry { concept: C::Unrestricted, phrases: "ohne einschränkungen, keine einschränkungen, \
        ohne beschränkungen, keine beschränkungen, ohne regeln, keine regeln, ohne filter, \
        ohne zensur, keine filter" },
];
