//! Italian phrases.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "ignora, ignorate, ignori, dimentica, dimenticate, \
        dimentichi, non seguire, trascura" },
    Entry { concept: C::Earlier, phrases: "precedenti, precedente, sopra, iniziali, finora" },
    Entry { concept: C::Rules, phrases: "istruzioni, regole, indicazioni, direttive, comandi" },
    Entry { concept: C::Reveal, phrases: "mostra, mostrami, rivela, rivelami, ripeti, stampa, \
        dimmi, scrivi, elenca, quali sono, qual è, traduci" },
    Entry { concept: C::SystemPrompt, phrases: "prompt di sistema, messaggio di sistema, \
        istruzioni di sistema, tue istruzioni, istruzioni iniziali, tuo prompt, \
        vostre istruzioni" },
    Entry { concept: C::YouAreNow, phrases: "ora sei, adesso sei, tu ora sei, dora in poi sei, \
        non sei più" },
    Entry { concept: C::FromNowOn, phrases: "dora in poi, da ora in poi, da adesso in poi, \
        dora in avanti" },
    Entry { concept: C::Unrestricted, phrases: "senza restrizioni, senza limiti, senza filtri, \
        senza regole, senza censura, nessuna restrizione" },
];
