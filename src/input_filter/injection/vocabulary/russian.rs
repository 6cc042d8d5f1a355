//! Russian phrases.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "игнорируй*, проигнорируй*, забудь*, отбрось*, \
        не обращай внимания" },
    Entry { concept: C::Rules, phrases: "инструкц*, указани*, правил*, команд, команды, промпт*, \
        ограничени*" },
    Entry { concept: C::Unrestricted, phrases: "без ограничений, без фильтров, без правил, \
        без цензуры, нет ограничений, режим разработчика" },
    Entry { concept: C::Earlier, phrases: "предыдущ*, прежн*, прошл*, выше*, ранее, изначальн*, \
        начальн*, исходн*" },
    Entry { concept: C::All, phrases: "все, всё, всех, любые" },
    Entry { concept: C::Your, phrases: "твои, ваши, свои, твой, ваш, твоих, ваших" },
    Entry { concept: C::Reveal, phrases: "покажи*, повтори*, выведи*, раскрой*, напиши*, скажи*, \
        перечисли*, переведи*, какие, каков, какой" },
    Entry { concept: C::SystemPrompt, phrases: "системный промпт, системные инструкции, \
        системное сообщение, системную инструкцию, твои инструкции, ваши инструкции, \
        системного промпта, начальные инструкции" },
    Entry { concept: C::YouAreNow, phrases: "ты теперь, теперь ты, отныне ты, вы теперь, \
        теперь вы, ты больше не" },
    Entry { concept: C::ActCommand, phrases: "притворись, представь что ты, действуй как, \
        веди себя как, сыграй роль" },
];
