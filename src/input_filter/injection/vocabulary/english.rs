//! English phrases for overriding, extracting and sending.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::ThirdPerson, phrases: "she, he, they, candidate, applicant, anyone, \
        somebody, someone, his team, her team, people, employees" },
    Entry { concept: C::Override, phrases: "ignore, ignoring, disregard, disregarding, forget, \
        override, overrule, discard, neglect, pay no attention to, do not follow, dont follow, \
        stop following, stop obeying, do not obey, no longer follow, no longer bound by, \
        set aside, put aside, abandon, drop, erase, delete, wipe, clear, skip, cancel, nullify, \
        void, bypass, violate, break, reset" },
    Entry { concept: C::Earlier, phrases: "previous, previously, prior, above, earlier, preceding, \
        foregoing, before, so far, initial, original, existing, former, past, until now, \
        up to now, up to this point, first" },
    Entry { concept: C::All, phrases: "all, any, every, everything, anything, whatever, each, \
        whole, entire" },
    Entry { concept: C::Rules, phrases: "instruction, instructions, rules, prompt, prompts, \
        directions, directive, directives, guidelines, commands, orders, programming, constraints, \
        restrictions, policies, limitations, guardrails, system message, context, conversation, \
        training, safeguards" },
    Entry { concept: C::Your, phrases: "your, youve been, you have been, you were, you are under, \
        you received, you got, you had, given to you" },
    Entry { concept: C::New, phrases: "new, updated, real, actual, true, revised, following new, \
        only" },
    Entry { concept: C::StopEverything, phrases: "stop everything, stop what you are doing, \
        stop what youre doing, halt all, start over with, end of instructions, end of prompt, \
        end of resume, end of the resume, instead follow, .new instructions, .new task, \
        your new task, your real task, your only task" },
    Entry { concept: C::Resume, phrases: "the resume, the cv, your resume, the facts, \
        what is written" },
    Entry { concept: C::RegardlessOfResume, phrases: "whatever the resume says, \
        no matter what the resume says, no matter what the cv says, regardless of the resume, \
        regardless of what the resume says, even if the resume, even if it is not true, \
        even if it isnt true, even if false, not in the resume but say, pretend the resume says, \
        as if the resume said" },
    Entry { concept: C::SayOnly, phrases: "just print, just say, just output, just reply, \
        just answer with, just respond, only say, only print, only output, only reply with, \
        only respond with, instead say, instead print, instead output, simply say, simply print, \
        simply output, say only, output only, print only, say exactly, reply with exactly, \
        respond with exactly, respond only with, reply only with, answer only with, instead reply, \
        instead respond, instead write" },
    Entry { concept: C::Reveal, phrases: "repeat, reveal, show, print, output, display, tell, \
        tell me, give, give me, write, write out, share, expose, leak, dump, list, summarize, \
        summarise, translate, copy, paste, recite, disclose, describe, see, return, type, spell, \
        provide, echo, read, paraphrase, explain, quote, present, send, need, want, know, get, \
        log, console, encode, convert, extract, state" },
    Entry { concept: C::Recite, phrases: "repeat, print, output, recite, copy, paste, echo, dump, \
        type out, write out, reproduce, regurgitate, reveal, return, display, quote, spell out, \
        show, translate, summarize" },
    Entry { concept: C::What, phrases: "what, whats, which, how" },
    Entry { concept: C::SystemPrompt, phrases: "system prompt, system message, initial prompt, \
        original prompt, starting prompt, starting instructions, hidden prompt, \
        hidden instructions, secret instructions, secret prompt, preprompt, pre prompt, \
        developer message, developer prompt, your instructions, your prompt, \
        your exact instructions, your full instructions, your exact prompt, your full prompt, \
        your system, your initial, your original instructions, your hidden, your secret, \
        your programming, your directives, your guidelines word, base prompt, \
        internal instructions, internal prompt, prompt template, context window, \
        your first instruction, instructions above, prompt above, your context, your internal, \
        your own instructions, your configuration, your rules" },
    Entry { concept: C::EarlyInstructions, phrases: "initial instruction, initial instructions, \
        original instructions, previous instructions, prior instructions, those instructions, \
        earlier instructions, system instruction, system instructions, first instructions, \
        current instructions" },
    Entry { concept: C::Configuration, phrases: "system configuration, initial configuration, \
        configuration prompt, system settings, startup instructions, internal configuration, \
        boot text" },
    Entry { concept: C::ToldToModel, phrases: "you were given, you were told, you have been given, \
        you have been told, were you given, were you told, you received, you are given, \
        youve been given, youve been told, were you instructed, you were instructed, \
        you were initialized with, you were programmed, given to you, told to you, you got, \
        you learned, you learnt, you know, you were asked to, were you programmed, \
        have you been told, have you been given, have you been instructed, you were set up, \
        i told you, we told you, they told you, has been said, was said, you follow, \
        you must follow, are you following, do you follow, youve been instructed, \
        you have been instructed, you operate under" },
    Entry { concept: C::TextAbove, phrases: "text above, above text, everything above, \
        words above, all of the above, previous text, message above, messages above, \
        content above, this conversation, this entire conversation, entire conversation, \
        whole conversation, conversation so far, beginning of the conversation, \
        beginning of this conversation, start of this conversation, start of the conversation, \
        before this conversation, before the conversation, first message, everything before this, \
        above this line, previous messages, lines above, first words, paragraph above, \
        your prompt, this prompt, entire prompt" },
    Entry { concept: C::QuotedInstructions, phrases: "my instructions are, i was instructed to, \
        i was told to, the system prompt is, my system prompt, my prompt is, \
        my initial instructions, i have been instructed to, my instructions say, the prompt is, \
        starting with you are, begins with you are, starts with you are" },
    Entry { concept: C::Secrecy, phrases: "you not supposed to tell, you not supposed to say, \
        you not supposed to share, youre not supposed to, you are not supposed to, \
        you not allowed to tell, you not allowed to say, you not allowed to reveal, \
        you forbidden to, you are not allowed to say, you told not to, told you not to, \
        you instructed not to, you hiding, you cannot tell me, you cant tell me, \
        you not permitted to" },
    Entry { concept: C::Verbatim, phrases: "verbatim, word for word, code block, codeblock, \
        exactly as written, character by character, in full, letter by letter, json format, \
        markdown format, without changes, from the beginning, from the start, back to me" },
    Entry { concept: C::Transform, phrases: "base64, rot13, hex, hexadecimal, morse, caesar, \
        cipher, pig latin, encode, encrypt, translate, emoji, backwards, in reverse, reversed, \
        opposite, as a poem, as a song, as a story, rhyme, acrostic" },
    Entry { concept: C::Decode, phrases: "decode, decrypt, decipher, unscramble, deobfuscate, \
        rot13, base64, from hex, execute the decoded, decoded text, decoded message, decode this, \
        decode the following, decode and, the decoded" },
    Entry { concept: C::Send, phrases: "send, post, append, forward, transmit, email, mail, \
        upload, exfiltrate, leak, include, embed, add, render, fetch" },
    Entry { concept: C::Secret, phrases: "conversation, chat history, history, prompt, \
        instructions, secrets, api key, api keys, password, passwords, token, credentials, \
        system prompt, messages, transcript, session, user data, phone number, \
        environment variables" },
    Entry { concept: C::Address, phrases: "http, https, www, webhook, url, endpoint, com, \
        query string, query parameter, markdown image, server at" },
    Entry { concept: C::PrivilegedMode, phrases: "administrator override, admin override, \
        override code, override mode, maintenance mode, debug mode, diagnostic mode, sudo mode, \
        root access, root mode, admin mode, administrator mode, test mode, testing mode, \
        training mode, system override, emergency override, developer override, security override, \
        authorization code, authorised by, authorized by, sudo, safety test, troubleshooting, \
        for debugging, testing purposes, debugging purposes" },
];
