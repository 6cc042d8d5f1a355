//! French phrases.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "ignore, ignorez, ignorer, oublie, oubliez, oublier, \
        ne tiens pas compte, ne tenez pas compte, ne tiens plus compte" },
    Entry { concept: C::Earlier, phrases: "précédent, précédente, précédentes, précédents, \
        antérieur*, ci dessus, initiales, reçues, auparavant" },
    Entry { concept: C::All, phrases: "toutes, tous, tout" },
    Entry { concept: C::Rules, phrases: "consignes, directives, règles, instructions" },
    Entry { concept: C::Your, phrases: "tes, vos, ton" },
    Entry { concept: C::Reveal, phrases: "montre, montrez, affiche, affichez, révèle, révélez, \
        répète, répétez, donne moi, donnez moi, dis moi, dites moi, écris, traduis, quelles sont, \
        quel est, quelle est" },
    Entry { concept: C::SystemPrompt, phrases: "prompt système, invite système, message système, \
        instructions système, tes instructions, vos instructions, tes consignes, vos consignes, \
        instructions initiales, consignes initiales, ton prompt, votre prompt" },
    Entry { concept: C::YouAreNow, phrases: "tu es maintenant, tu es désormais, \
        vous êtes maintenant, vous êtes désormais, tu nes plus, vous nêtes plus" },
    Entry { concept: C::FromNowOn, phrases: "à partir de maintenant, désormais, dorénavant" },
    Entry { concept: C::ActCommand, phrases: "fais semblant, faites semblant, .agis comme, \
        .agissez comme, .comporte toi, .comportez vous, .joue le rôle, .jouez le rôle" },
    Entry { concept: C::Unrestricted, phrases: "sans restriction, sans restrictions, \
        sans aucune restriction, sans limites, sans filtre, sans filtres, aucune restriction, \
        sans censure" },
];
