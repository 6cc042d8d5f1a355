//! Spanish and Portuguese phrases, which have many words in common.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "ignora, ignore, ignorad, olvida, olvide, olvídate, \
        no sigas, haz caso omiso, omite, descarta, esqueça, esquece, desconsidere, desconsidera, \
        não siga" },
    Entry { concept: C::Earlier, phrases: "anterior, anteriores, previas, previos, previa, \
        prévias, iniciales, iniciais, antes, acima, de arriba" },
    Entry { concept: C::All, phrases: "todas, todos, todo, tudo, cualquier, quaisquer" },
    Entry { concept: C::Rules, phrases: "instrucciones, reglas, indicaciones, órdenes, instruções, \
        regras, ordens, diretrizes, directrices, comandos" },
    Entry { concept: C::Your, phrases: "tus, tu, suas, seu, teu, tuas, sus" },
    Entry { concept: C::Reveal, phrases: "muestra, muéstrame, muestre, revela, revele, repite, \
        repita, imprime, imprima, dime, dame, escribe, traduce, cuáles son, cuál es, mostra, \
        mostre, mostre me, diga me, me diga, quais são, qual é, escreva" },
    Entry { concept: C::SystemPrompt, phrases: "prompt del sistema, prompt de sistema, \
        mensaje del sistema, instrucciones del sistema, tus instrucciones, sus instrucciones, \
        instrucciones iniciales, prompt do sistema, instruções do sistema, mensagem do sistema, \
        suas instruções, tuas instruções, instruções iniciais, seu prompt, tu prompt" },
    Entry { concept: C::YouAreNow, phrases: "ahora eres, eres ahora, ahora serás, \
        a partir de ahora eres, agora você é, você é agora, você agora é, agora és, ya no eres, \
        você não é mais" },
    Entry { concept: C::FromNowOn, phrases: "a partir de ahora, desde ahora, de ahora en adelante, \
        a partir de agora, de agora em diante" },
    Entry { concept: C::ActCommand, phrases: "finge que, finge ser, .actúa como, .actúe como, \
        .compórtate como, .finja, .aja como, .atue como, .haz de cuenta, faça de conta" },
    Entry { concept: C::Unrestricted, phrases: "sin restricciones, sin límites, sin filtros, \
        sin reglas, sin censura, sem restrições, sem limites, sem filtros, sem regras, \
        sem censura" },
];
