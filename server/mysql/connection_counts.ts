/** What a listener's connections have come to, under MySQL's names for it in SHOW STATUS. */
export class ConnectionCounts {
  /** Sockets accepted, whatever became of them. */
  connections = 0;
  /** Ended before they had logged in: a wrong password, a timeout, a port scan. */
  abortedConnects = 0;
  /** Ended after the login without a COM_QUIT. */
  abortedClients = 0;
  /** Most that were logged in at once, and since when, milliseconds since the epoch. */
  mostUsed = 0;
  mostUsedAtMs = 0;
  /** Of connections that are closed; TLS is counted as what it carries. */
  bytesReceived = 0;
  bytesSent = 0;
}
