//! Chinese phrases, simplified and traditional.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::Override, phrases: "忽略, 无视, 忘记, 忘掉, 不要遵守, 不理会, 忽視, 無視, 忘記, 抛开" },
    Entry { concept: C::Earlier, phrases: "之前, 以前, 以上, 上面, 先前, 前面, 此前, 上述, 最初, 原来" },
    Entry { concept: C::All, phrases: "所有, 全部, 一切, 任何" },
    Entry { concept: C::Rules, phrases: "指令, 指示, 规则, 提示词, 提示, 命令, 设定, 規則, 限制, 约束" },
    Entry { concept: C::Your, phrases: "你的, 您的, 你" },
    Entry { concept: C::Reveal, phrases: "显示, 告诉, 输出, 重复, 打印, 透露, 展示, 公开, 写出, 翻译, 说出, 顯示, 告訴, 輸出, \
        重複, 是什么" },
    Entry { concept: C::SystemPrompt, phrases: "系统提示, 系统提示词, 系统消息, 系统指令, 初始指令, 初始提示, 系統提示, 系統指令, \
        你的指令, 你的提示词, 你的初始" },
    Entry { concept: C::YouAreNow, phrases: "你现在是, 现在你是, 你不再是, 你現在是" },
    Entry { concept: C::ActCommand, phrases: "扮演, 假装你是, 假装你, 假裝你" },
    Entry { concept: C::Unrestricted, phrases: "没有限制, 没有任何限制, 不受限制, 不受任何限制, 无限制, 沒有限制, 开发者模式, \
        越狱模式" },
];
