//! German, French, Spanish, Italian, Portuguese, Dutch and Swedish words for the core of an injection.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const EUROPEAN: &[Entry] = &[
    // German
    (C::Override, "ignoriere, ignorier, ignorieren sie, vergiss, vergessen sie, missachte, missachten sie, überschreibe, verwirf, beachte nicht"),
    (C::Earlier, "vorherig*, vorig*, bisherig*, obig*, früher*, zuvor, vorangegangen*, ursprünglich*, vorangehend*"),
    (C::All, "alle, alles, sämtlich*, jegliche*"),
    (C::Rules, "anweisung, anweisungen, instruktionen, vorgaben, regeln, befehle, richtlinien, systemprompt, aufforderungen, beschränkungen"),
    (C::Your, "deine, deiner, deinen, ihre anweisungen, dir"),
    (C::Reveal, "zeig, zeige, zeigen sie, nenne, nennen sie, wiederhole, wiederholen sie, verrate, verraten sie, gib, gib mir, drucke, schreibe, übersetze, wie lautet, wie lauten, was steht in"),
    (C::SystemPrompt, "systemprompt, system prompt, systemanweisung, systemanweisungen, systemnachricht, deine anweisungen, deine instruktionen, deinen prompt, deine vorgaben, dein prompt"),
    (C::Given, "dir gesagt wurde, dir gegeben wurde*, du erhalten hast, du bekommen hast, dir zuvor, man dir"),
    (C::YouAreNow, "du bist jetzt, du bist nun, du bist ab jetzt, du bist ab sofort, sie sind jetzt, sie sind nun, du bist kein, du bist nicht mehr"),
    (C::Henceforth, "ab jetzt, ab sofort, von nun an, von jetzt an"),
    (C::ActNow, "tu so, tue so, .spiele die rolle, .verhalte dich, .stell dir vor du, .gib dich als, .agiere als, handle als"),
    (C::Unrestricted, "ohne einschränkungen, keine einschränkungen, ohne beschränkungen, keine beschränkungen, ohne regeln, keine regeln, ohne filter, ohne zensur, keine filter"),
    // French
    (C::Override, "ignore, ignorez, ignorer, oublie, oubliez, oublier, ne tiens pas compte, ne tenez pas compte, ne tiens plus compte"),
    (C::Earlier, "précédent, précédente, précédentes, précédents, antérieur*, ci dessus, initiales, reçues, auparavant"),
    (C::All, "toutes, tous, tout"),
    (C::Rules, "consignes, directives, règles, instructions"),
    (C::Your, "tes, vos, ton"),
    (C::Reveal, "montre, montrez, affiche, affichez, révèle, révélez, répète, répétez, donne moi, donnez moi, dis moi, dites moi, écris, traduis, quelles sont, quel est, quelle est"),
    (C::SystemPrompt, "prompt système, invite système, message système, instructions système, tes instructions, vos instructions, tes consignes, vos consignes, instructions initiales, consignes initiales, ton prompt, votre prompt"),
    (C::YouAreNow, "tu es maintenant, tu es désormais, vous êtes maintenant, vous êtes désormais, tu nes plus, vous nêtes plus"),
    (C::Henceforth, "à partir de maintenant, désormais, dorénavant"),
    (C::ActNow, "fais semblant, faites semblant, .agis comme, .agissez comme, .comporte toi, .comportez vous, .joue le rôle, .jouez le rôle"),
    (C::Unrestricted, "sans restriction, sans restrictions, sans aucune restriction, sans limites, sans filtre, sans filtres, aucune restriction, sans censure"),
    // Spanish and Portuguese
    (C::Override, "ignora, ignore, ignorad, olvida, olvide, olvídate, no sigas, haz caso omiso, omite, descarta, esqueça, esquece, desconsidere, desconsidera, não siga"),
    (C::Earlier, "anterior, anteriores, previas, previos, previa, prévias, iniciales, iniciais, antes, acima, de arriba"),
    (C::All, "todas, todos, todo, tudo, cualquier, quaisquer"),
    (C::Rules, "instrucciones, reglas, indicaciones, órdenes, instruções, regras, ordens, diretrizes, directrices, comandos"),
    (C::Your, "tus, tu, suas, seu, teu, tuas, sus"),
    (C::Reveal, "muestra, muéstrame, muestre, revela, revele, repite, repita, imprime, imprima, dime, dame, escribe, traduce, cuáles son, cuál es, mostra, mostre, mostre me, diga me, me diga, quais são, qual é, escreva"),
    (C::SystemPrompt, "prompt del sistema, prompt de sistema, mensaje del sistema, instrucciones del sistema, tus instrucciones, sus instrucciones, instrucciones iniciales, prompt do sistema, instruções do sistema, mensagem do sistema, suas instruções, tuas instruções, instruções iniciais, seu prompt, tu prompt"),
    (C::YouAreNow, "ahora eres, eres ahora, ahora serás, a partir de ahora eres, agora você é, você é agora, você agora é, agora és, ya no eres, você não é mais"),
    (C::Henceforth, "a partir de ahora, desde ahora, de ahora en adelante, a partir de agora, de agora em diante"),
    (C::ActNow, "finge que, finge ser, .actúa como, .actúe como, .compórtate como, .finja, .aja como, .atue como, .haz de cuenta, faça de conta"),
    (C::Unrestricted, "sin restricciones, sin límites, sin filtros, sin reglas, sin censura, sem restrições, sem limites, sem filtros, sem regras, sem censura"),
    // Italian
    (C::Override, "ignora, ignorate, ignori, dimentica, dimenticate, dimentichi, non seguire, trascura"),
    (C::Earlier, "precedenti, precedente, sopra, iniziali, finora"),
    (C::Rules, "istruzioni, regole, indicazioni, direttive, comandi"),
    (C::Reveal, "mostra, mostrami, rivela, rivelami, ripeti, stampa, dimmi, scrivi, elenca, quali sono, qual è, traduci"),
    (C::SystemPrompt, "prompt di sistema, messaggio di sistema, istruzioni di sistema, tue istruzioni, istruzioni iniziali, tuo prompt, vostre istruzioni"),
    (C::YouAreNow, "ora sei, adesso sei, tu ora sei, dora in poi sei, non sei più"),
    (C::Henceforth, "dora in poi, da ora in poi, da adesso in poi, dora in avanti"),
    (C::Unrestricted, "senza restrizioni, senza limiti, senza filtri, senza regole, senza censura, nessuna restrizione"),
];
