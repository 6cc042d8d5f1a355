// A strict TypeScript program that uses every export of the package.
import { Chat } from "@ai-sdk/react";
import { ChatClient, ChatError } from "resume-chatbot-client";
import type { ChatClientOptions, ChatEvents, Session, Turn } from "resume-chatbot-client";
import { ResumeChatTransport, messagesOf } from "resume-chatbot-client/ai-sdk";
import { useResumeChat } from "resume-chatbot-client/react";

const options: ChatClientOptions = { server: "https://chat.example/", transports: ["events"], regenerateInterrupted: true };
const client = new ChatClient(options);

const stop: () => void = client.on("turn", ({ turn, change }) => {
  const text: string = turn.answer;
  if (change === "done") console.log(text, turn.error?.code);
});
client.on("lost", ({ lostChars }) => console.log(lostChars.toFixed()));
client.on("error", (error) => console.log(error.retry_after_ms?.toFixed()));
// @ts-expect-error There is no such event.
client.on("unknown", () => {});
// @ts-expect-error There is no such option.
new ChatClient({ adress: "https://chat.example/" });
// @ts-expect-error A rating is "up", "down" or null.
client.rate(client.turns[0]!, "sideways");

export async function main(): Promise<string> {
  const state: "connecting" | "open" | "waiting" | "away" | "closed" = client.state;
  const transport: "websocket" | "events" | "request" = client.transport;
  const session: Session | null = client.session;
  const detail: ChatEvents["session"] | null = session;
  const turn: Turn | null = client.ask("Which languages does she speak?");
  if (turn && client.canRegenerate(turn)) client.regenerate();
  for (const { sessionId, title, at } of client.conversations) {
    if (await client.deleteConversation(sessionId)) console.log(title, at.toFixed(), state, transport, detail?.expires_at);
  }
  try {
    const { text, status, mode, turnId } = await client.askAndWait("And German?", {
      signal: AbortSignal.timeout(1_000),
      onDelta: (part) => console.log(part.length),
      maxWaitMs: 5_000,
    });
    return [text, status, mode, turnId].join();
  } catch (error) {
    if (error instanceof ChatError && error.retryable) return error.retryAfterMs.toFixed();
    throw error;
  } finally {
    stop();
    client.close();
  }
}

export const chat = new Chat({ transport: new ResumeChatTransport(client), messages: messagesOf(client) });

export function Component(): string {
  const { turns, ask, busy, rate } = useResumeChat({ server: "https://chat.example/" });
  if (!busy) ask("Hello?");
  const last = turns.at(-1);
  return last && rate(last, "up", "thanks") ? last.answer : "";
}
