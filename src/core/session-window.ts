/** What client and server agree on about sessions. Any thread, and the portable client. */

/** Commands of a session that may be without an answer at a time: the next sequence waits for the one so much lower. */
export const SESSION_WINDOW = 128;
