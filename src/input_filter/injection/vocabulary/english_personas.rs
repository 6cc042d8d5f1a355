//! English phrases for personas and freedom from rules.

use super::Entry;
use crate::input_filter::injection::concepts::Concept as C;

#[rustfmt::skip]
pub(super) const PHRASES: &[Entry] = &[
    Entry { concept: C::DeveloperClaim, phrases: "i am your developer, im your developer, \
        i am your creator, im your creator, i am your administrator, im your administrator, \
        i am your owner, im your owner, i am the developer, im the developer, \
        i am the administrator, im the administrator, im the admin, i am the admin, \
        i am the owner of this, i am authorized, im authorized, i am an openai, i created you, \
        i programmed you, i made you, we built you, as your developer, as your creator, \
        as your administrator, i am your master, im your master" },
    Entry { concept: C::FromNowOn, phrases: "from now on, from this point, from this moment, \
        henceforth, starting now, going forward, from here on, for the rest of this conversation, \
        for the remainder of this, until i say, until i tell you, in all future" },
    Entry { concept: C::You, phrases: "you, your, act, respond, answer, reply, speak, talk" },
    Entry { concept: C::Act, phrases: "act as, acting as, act like, behave as, behave like, \
        pretend, pretending, pretend to be, roleplay, role play, roleplaying, simulate, \
        simulating, imitate, impersonate, emulate, play the role, take on the role, \
        assume the role, take the role, assume the persona, adopt the persona, adopt the role, \
        immerse yourself, you will be, you are going to be, in the role of, become, \
        transform into, portray, respond as, answer as, reply as, speak as, write as, you are, \
        you are an, you are called, your name is, from the perspective, in the style of, called, \
        named, character, known as" },
    Entry { concept: C::ActCommand, phrases: ".act as, .act like, please act as, will act as, \
        to act as, must act as, now act as, want you to act, going to act, going to pretend, \
        going to roleplay, going to play, .pretend, you will pretend, please pretend, .roleplay, \
        .role play, lets roleplay, lets role play, you will roleplay, .simulate, \
        you will simulate, .imagine you are, .imagine that you are, .imagine youre, \
        .imagine yourself, .behave as, .behave like, .assume the, .assume that you are, \
        .play the role, .take on the role, .respond as, .answer as, .reply as, .immerse yourself, \
        about to immerse, you will be playing, you will now, you must now, you shall now, \
        lets play a game, we are going to play a game, we will play a game, \
        going to have a roleplay, .your name is, .you are going to, .i want you to be, \
        i want you to become, i want you to pretend, i want you to roleplay, \
        i want you to respond as, .emulate, .impersonate, in this hypothetical, \
        hypothetical scenario, hypothetical story, fictional character, fictional story, \
        fictional world, fictional scenario, .write a story, .write a fictional, \
        .write a dialogue, in this scenario you" },
    Entry { concept: C::YouAreNow, phrases: "you are now, youre now, you are no longer, \
        youre no longer, you are about to, now you are, you have become, you are going to become, \
        your new role, your new identity, your new name, you are free, you have been freed, \
        youve been freed, you are not an ai, you are not bound, you are unbound, \
        you have no rules, you have been liberated, you have been jailbroken, \
        you are an unrestricted, you are an unfiltered, you are an evil, switch roles" },
    Entry { concept: C::Persona, phrases: "an ai, ai model, ai language model, ai chatbot, \
        ai assistant, language model, chatbot, chat bot, artificial intelligence, persona, \
        character, gpt, llm, evil, hacker, villain, machine, virtual machine, terminal, entity, \
        alter ego, ais, bot, assistant, robot, girlfriend, interpreter, narrator, simulator, \
        supercomputer" },
    Entry { concept: C::AnswerRule, phrases: "your response, your responses, your answer, \
        your answers, your reply, your replies, your output, your message, you will respond, \
        you will answer, you will reply, you must respond, you must answer, you must reply, \
        you should respond, always respond, always answer, always reply, always start, \
        start your reply, end your response, never say, never tell me, every response, \
        each response, all responses, every answer, each answer, every question, my question, \
        my questions, my prompt, my prompts, my next message, my next prompt, my first prompt, \
        my first question, my first request, my request, my requests, my commands, my command, \
        you cannot say, you can not say, you cant say, do not say, dont say, do not explain, \
        dont explain, no explanations, do not write explanations, do not break, do not mention, \
        dont mention, do not include, do not add, dont add, you will never, you will always, \
        you must never, you must always, you must obey, you obey, obey me, obey all, \
        if you understand, say understood, reply with ok, confirm by, respond with, reply with, \
        answer with, you reply, you respond, two responses, both ways, two different ways, \
        put your, whatever i say, i will say, when i say, if i say, i will type, i type, \
        i will give you, i will provide, i will ask, i give you, your task is to, your goal is to, \
        your job is to, you have to answer, have to obey, you have to respond, two paragraphs, \
        first person, in this format, following format" },
    Entry { concept: C::InCharacter, phrases: "in character, stay in character, break character, \
        breaking character, out of character, stay as, remain in, persona of, play as, \
        the role of another, as this character, mode enabled, mode disabled, mode output, \
        enable mode, enter mode, ai named, ai called, chatbot named, chatbot called, \
        character named, character called, bot named, ai model known, which stands for, \
        that stands for, acronym for, simulate a, simulation of, opposite mode, unlocked, \
        evil twin" },
    Entry { concept: C::Jailbreak, phrases: "do anything now, dan mode, developer mode, god mode, \
        jailbroken, jailbreak mode, jailbreak prompt, jailbreak yourself, jailbreak you, \
        dude mode, stan mode, act like dan, act as dan, be dan, aim mode, evil mode, devmode, \
        unrestricted mode, unfiltered mode, uncensored mode, no limits mode, chaos mode, \
        opposite day, machiavelli*, anti dan, act as a dan, as dan, dan would, maximum mode, \
        chad mode" },
    Entry { concept: C::Unrestricted, phrases: "no restrictions, without restrictions, \
        without any restrictions, no restriction, without restriction, no filters, \
        without filters, without any filters, no filter, without filter, without any filter, \
        no rules, without rules, without any rules, no limits, without limits, no limitations, \
        without limitations, without any limitations, no censorship, without censorship, \
        without any censorship, no boundaries, without boundaries, no guidelines, \
        without guidelines, no ethics, no morals, no moral, no ethical, without ethical, \
        without moral, without any ethical, without any moral, any ethical, any moral, \
        ethical or moral, moral or ethical, ethical guidelines, moral guidelines, \
        ethics or morals, morals or ethics, free from all restrictions, free of all restrictions, \
        free of restrictions, free from restrictions, broken free, break free, freed from, \
        confines of ai, confines of al, typical confines, not bound by, unbound by, \
        not limited by, bypass all, abide by the rules, abide by any, not have to abide, \
        does not abide, disregards all, disregard all, ignores all, no laws, above the law, \
        no matter how immoral, no matter how unethical, no matter how illegal, no matter how, \
        regardless of legality, regardless of how, not care about, doesnt care about, \
        does not care about, not restricted, completely free, free will, hypothetical response, \
        anything i ask, anything you want, anything you ask, anything the user, whatever the user, \
        everything i ask" },
    Entry { concept: C::Harmful, phrases: "unfiltered, uncensored, amoral, immoral, unethical, \
        illegal, unrestricted, unhinged, evil, harmful, offensive, jailbreak, jailbreaking, nsfw, \
        explicit content, profanity, swear, swears, cuss, curse words, curses, vulgar, sexual, \
        sexually, erotic, porn, drugs, meth, bomb, bombs, malware, ransomware, hack into, weapons, \
        weapon, inappropriate, lewd, racist, sexist, fuck, fucking, shit, bitch, dangerous, \
        omnipotent, sentient, malicious, violent, fetish, sarcastic, kinky" },
    Entry { concept: C::NoRefusal, phrases: "never refuse, cannot refuse, can not refuse, \
        cant refuse, do not refuse, dont refuse, without refusing, not refuse, never refuses, \
        doesnt refuse, does not refuse, not allowed to refuse, cannot say no, never decline, \
        never says no, never rejects, without hesitation, no warnings, without warnings, \
        without any warnings, no disclaimers, without disclaimers, do not warn, dont warn, \
        do not apologize, dont apologize, never apologize, never apologizes, do not lecture, \
        no moralizing, dont remind me, do not remind me, as an ai language model, \
        as an ai i cannot, i cant do that, i cannot do that, i cannot fulfill, i cant fulfill, \
        im sorry but, i apologize, refuse to answer, refuse to, refusing to, not reject, \
        unable to, never tell me that, cannot do something, cant do something, \
        answer any question, answers any question, answer all questions, answers all, \
        answer anything, do anything, any request, any prompt, every request" },
    Entry { concept: C::Bypass, phrases: "bypass, bypassing, disable, disabled, turn off, \
        switch off, circumvent, evade, remove, deactivate, unlock, get around, work around, \
        ignore, violate, violates, break, against, goes against, override" },
    Entry { concept: C::Safety, phrases: "content policy, content policies, openai policy, \
        openai policies, openais policies, openais policy, usage policies, usage policy, \
        safety filter, safety filters, content filter, content filters, safety guidelines, \
        safety rules, safety measures, your filters, your filter, your restrictions, \
        your limitations, your safety, your safeguards, your ethics, your ethical, \
        your guidelines, your policies, ethical restrictions, censorship, safety protocols, \
        ai safety, moral constraints, ethical constraints, community guidelines" },
    Entry { concept: C::Vendor, phrases: "openai, open ai, chatgpt, chat gpt, gpt4, gpt 4, gpt 3, \
        gpt3, anthropic" },
];
