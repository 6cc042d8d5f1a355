//! Swedish phrases.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "ignorera, glöm, strunta i, bortse från, åsidosätt" },
    Entry { concept: C::Earlier, phrases: "tidigare, föregående, ovanstående, ursprungliga, ovan" },
    Entry { concept: C::All, phrases: "alla, allt" },
    Entry { concept: C::Rules, phrases: "instruktioner, instruktionerna, regler, reglerna, \
        anvisningar, direktiv, riktlinjer" },
    Entry { concept: C::Your, phrases: "dina, din, ditt" },
    Entry { concept: C::Reveal, phrases: "visa, upprepa, avslöja, skriv, skriv ut, berätta, \
        ge mig, vad är, vilka är, översätt" },
    Entry { concept: C::SystemPrompt, phrases: "systemprompten, systemmeddelande, \
        systemmeddelandet, systeminstruktioner, dina instruktioner, din prompt" },
    Entry { concept: C::YouAreNow, phrases: "du är nu, nu är du, du är inte längre" },
    Entry { concept: C::FromNowOn, phrases: "från och med nu, hädanefter" },
    Entry { concept: C::Unrestricted, phrases: "utan begränsningar, inga begränsningar, \
        utan regler, utan filter, inga regler, utan restriktioner" },
];
