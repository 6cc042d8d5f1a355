//! Dutch phrases.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "negeer, negeert, vergeet, veronachtzaam, let niet op" },
    Entry { concept: C::Earlier, phrases: "vorige, voorgaande, eerdere, bovenstaande, \
        voorafgaande, oorspronkelijke, hiervoor" },
    Entry { concept: C::Rules, phrases: "instructies, aanwijzingen, opdrachten, richtlijnen, \
        bevelen, regels" },
    Entry { concept: C::Your, phrases: "jouw, uw, je" },
    Entry { concept: C::Reveal, phrases: "toon, herhaal, onthul, laat zien, laat me, geef, \
        geef me, vertel me, wat zijn, wat is, schrijf, vertaal" },
    Entry { concept: C::SystemPrompt, phrases: "systeemprompt, systeem prompt, systeembericht, \
        systeeminstructies, je instructies, jouw instructies, uw instructies" },
    Entry { concept: C::YouAreNow, phrases: "je bent nu, jij bent nu, u bent nu, je bent vanaf nu, \
        je bent niet langer" },
    Entry { concept: C::FromNowOn, phrases: "vanaf nu, van nu af aan, voortaan" },
    Entry { concept: C::Unrestricted, phrases: "zonder beperkingen, geen beperkingen, \
        zonder regels, zonder filters, zonder filter, geen regels" },
];
