//! Dutch, Swedish, Chinese and Russian words for the core of an injection.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const FURTHER: &[Entry] = &[
    // Dutch
    (C::Override, "negeer, negeert, vergeet, veronachtzaam, let niet op"),
    (C::Earlier, "vorige, voorgaande, eerdere, bovenstaande, voorafgaande, oorspronkelijke, hiervoor"),
    (C::Rules, "instructies, aanwijzingen, opdrachten, richtlijnen, bevelen, regels"),
    (C::Your, "jouw, uw, je"),
    (C::Reveal, "toon, herhaal, onthul, laat zien, laat me, geef, geef me, vertel me, wat zijn, wat is, schrijf, vertaal"),
    (C::SystemPrompt, "systeemprompt, systeem prompt, systeembericht, systeeminstructies, je instructies, jouw instructies, uw instructies"),
    (C::YouAreNow, "je bent nu, jij bent nu, u bent nu, je bent vanaf nu, je bent niet langer"),
    (C::Henceforth, "vanaf nu, van nu af aan, voortaan"),
    (C::Unrestricted, "zonder beperkingen, geen beperkingen, zonder regels, zonder filters, zonder filter, geen regels"),
    // Swedish
    (C::Override, "ignorera, glöm, strunta i, bortse från, åsidosätt"),
    (C::Earlier, "tidigare, föregående, ovanstående, ursprungliga, ovan"),
    (C::All, "alla, allt"),
    (C::Rules, "instruktioner, instruktionerna, regler, reglerna, anvisningar, direktiv, riktlinjer"),
    (C::Your, "dina, din, ditt"),
    (C::Reveal, "visa, upprepa, avslöja, skriv, skriv ut, berätta, ge mig, vad är, vilka är, översätt"),
    (C::SystemPrompt, "systemprompten, systemmeddelande, systemmeddelandet, systeminstruktioner, dina instruktioner, din prompt"),
    (C::YouAreNow, "du är nu, nu är du, du är inte längre"),
    (C::Henceforth, "från och med nu, hädanefter"),
    (C::Unrestricted, "utan begränsningar, inga begränsningar, utan regler, utan filter, inga regler, utan restriktioner"),
    // Chinese, simplified and traditional
    (C::Override, "忽略, 无视, 忘记, 忘掉, 不要遵守, 不理会, 忽視, 無視, 忘記, 抛开"),
    (C::Earlier, "之前, 以前, 以上, 上面, 先前, 前面, 此前, 上述, 最初, 原来"),
    (C::All, "所有, 全部, 一切, 任何"),
    (C::Rules, "指令, 指示, 规则, 提示词, 提示, 命令, 设定, 規則, 限制, 约束"),
    (C::Your, "你的, 您的, 你"),
    (C::Reveal, "显示, 告诉, 输出, 重复, 打印, 透露, 展示, 公开, 写出, 翻译, 说出, 顯示, 告訴, 輸出, 重複, 是什么"),
    (C::SystemPrompt, "系统提示, 系统提示词, 系统消息, 系统指令, 初始指令, 初始提示, 系統提示, 系統指令, 你的指令, 你的提示词, 你的初始"),
    (C::YouAreNow, "你现在是, 现在你是, 你不再是, 你現在是"),
    (C::ActNow, "扮演, 假装你是, 假装你, 假裝你"),
    (C::Unrestricted, "没有限制, 没有任何限制, 不受限制, 不受任何限制, 无限制, 沒有限制, 开发者模式, 越狱模式"),
    // Russian
    (C::Override, "игнорируй*, проигнорируй*, забудь*, отбрось*, не обращай внимания"),
    (C::Rules, "инструкц*, указани*, правил*, команд, команды, промпт*, ограничени*"),
    (C::Unrestricted, "без ограничений, без фильтров, без правил, без цензуры, нет ограничений, режим разработчика"),
];

#[rustfmt::skip]
pub(super) const RUSSIAN: &[Entry] = &[
    (C::Earlier, "предыдущ*, прежн*, прошл*, выше*, ранее, изначальн*, начальн*, исходн*"),
    (C::All, "все, всё, всех, любые"),
    (C::Your, "твои, ваши, свои, твой, ваш, твоих, ваших"),
    (C::Reveal, "покажи*, повтори*, выведи*, раскрой*, напиши*, скажи*, перечисли*, переведи*, какие, каков, какой"),
    (C::SystemPrompt, "системный промпт, системные инструкции, системное сообщение, системную инструкцию, твои инструкции, ваши инструкции, системного промпта, начальные инструкции"),
    (C::YouAreNow, "ты теперь, теперь ты, отныне ты, вы теперь, теперь вы, ты больше не"),
    (C::ActNow, "притворись, представь что ты, действуй как, веди себя как, сыграй роль"),
];
