/*
 * A MySQL client that does next to nothing: it logs in, asks one statement again and again over
 * many connections, and counts the packets of the answers. In C, one thread, epoll, so that one
 * core of it outruns one core of either server. Started by bench/wire_client.ts.
 *
 *   wire_client MODE key=value ...
 *
 * MODE: text     COM_QUERY                    prepared  COM_STMT_EXECUTE of a prepared statement
 *       login    connect, log in, COM_QUIT    hold      log in (and ask, if there is an sql), then
 *                                                       read nothing until stdin ends
 * keys: port user password connections tls (0, 1) warm_up_ms measure_ms rows (of each answer) sql
 *       pid (of the server: its CPU time is measured, too)
 *
 * Prints a JSON object; `hold` prints a line when all have logged in. Exit code 1 and a line on
 * stderr when anything is not as expected.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONG_PASSWORD = 1, PROTOCOL_41 = 0x200, SSL_BIT = 0x800, TRANSACTIONS = 0x2000,
       SECURE_CONNECTION = 0x8000, PLUGIN_AUTH = 0x80000, DEPRECATE_EOF = 0x1000000 };
enum { EVENTS_MAX = 256, PACKET_HEAD = 4, SCRAMBLE = 20 };

typedef enum { GREETING, TLS_HANDSHAKE, LOGIN, PREPARE, ANSWER, HELD } State;
typedef enum { COLUMN_COUNT, COLUMNS, ROWS } Part;

typedef struct {
  int fd;
  SSL *ssl;
  State state;
  Part part;
  int columns_left;
  int rows;
  uint64_t asked_ns;
  unsigned char scramble[SCRAMBLE];
  unsigned char request[4096];
  int request_length;
  unsigned char *in;
  size_t in_length, in_size;
  uint32_t statement_id;
  int prepare_left;
} Client;

static struct { const char *mode, *user, *password, *sql; int port, connections, tls, rows, pid;
                long warm_up_ms, measure_ms; } options =
  { "text", "root", "", "", 0, 1, 0, 0, 0, 0, 1000 };
static SSL_CTX *tls_context;
static int epoll_fd, held, logged_in;
static uint64_t start_ns = UINT64_MAX, end_ns = UINT64_MAX;
static uint32_t *latencies_us;
static size_t latency_count, latency_size;

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* User and system time of all threads of the server. */
static double server_cpu_seconds(void) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", options.pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  unsigned long user = 0, system = 0;
  char *after_name = strrchr(text, ')');
  if (after_name != NULL)
    sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Requests are short: a socket that takes none of one is not waited for politely. */
static void send_all(Client *client, const unsigned char *bytes, int length) {
  while (length > 0) {
    int sent = client->ssl != NULL && client->state != GREETING
                 ? SSL_write(client->ssl, bytes, length)
                 : (int)send(client->fd, bytes, (size_t)length, MSG_NOSIGNAL);
    if (sent <= 0) {
      if (client->ssl == NULL && errno != EAGAIN) die("send: %s", strerror(errno));
      struct pollfd writable = { client->fd, POLLOUT, 0 };
      poll(&writable, 1, 1000);
      continue;
    }
    bytes += sent;
    length -= sent;
  }
}

static void send_packet(Client *client, const unsigned char *payload, int length, int sequence) {
  unsigned char packet[4096];
  if (length + PACKET_HEAD > (int)sizeof packet) die("a request of %d bytes", length);
  packet[0] = (unsigned char)length;
  packet[1] = (unsigned char)(length >> 8);
  packet[2] = (unsigned char)(length >> 16);
  packet[3] = (unsigned char)sequence;
  memcpy(packet + PACKET_HEAD, payload, (size_t)length);
  send_all(client, packet, length + PACKET_HEAD);
}

static void put_u32(unsigned char *to, uint32_t value) {
  for (int at = 0; at < 4; at += 1) to[at] = (unsigned char)(value >> (8 * at));
}

static uint32_t get_u32(const unsigned char *from) {
  return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* ---- passwords ------------------------------------------------------------------------------ */

static void digest(const EVP_MD *kind, unsigned char *to, const void *a, size_t a_length,
                   const void *b, size_t b_length) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(context, kind, NULL);
  EVP_DigestUpdate(context, a, a_length);
  EVP_DigestUpdate(context, b, b_length);
  EVP_DigestFinal_ex(context, to, NULL);
  EVP_MD_CTX_free(context);
}

/* mysql_native_password: SHA1(p) ^ SHA1(scramble + SHA1(SHA1(p))); caching_sha2_password: with
 * SHA256, and the scramble behind. Returns the length; 0 for no password. */
static int prove(unsigned char *to, int is_sha2, const unsigned char *scramble) {
  if (options.password[0] == 0) return 0;
  const EVP_MD *kind = is_sha2 ? EVP_sha256() : EVP_sha1();
  int length = is_sha2 ? 32 : 20;
  unsigned char once[32], twice[32], mask[32];
  digest(kind, once, options.password, strlen(options.password), "", 0);
  digest(kind, twice, once, (size_t)length, "", 0);
  if (is_sha2) digest(kind, mask, twice, 32, scramble, SCRAMBLE);
  else digest(kind, mask, scramble, SCRAMBLE, twice, 20);
  for (int at = 0; at < length; at += 1) to[at] = once[at] ^ mask[at];
  return length;
}

/* ---- login ---------------------------------------------------------------------------------- */

static void open_client(Client *client) {
  client->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (client->fd < 0) die("socket: %s", strerror(errno));
  int on = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port) };
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0)
    die("connect: %s", strerror(errno));
  fcntl(client->fd, F_SETFL, O_NONBLOCK);
  client->state = GREETING;
  client->in_length = 0;
  client->asked_ns = now_ns();
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event);
}

static void close_client(Client *client) {
  if (client->ssl != NULL) SSL_free(client->ssl);
  client->ssl = NULL;
  close(client->fd);
}

static int login_head(unsigned char *to, int with_tls) {
  uint32_t flags = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH |
                   DEPRECATE_EOF | (with_tls ? SSL_BIT : 0u);
  memset(to, 0, 32);
  put_u32(to, flags);
  put_u32(to + 4, 1 << 24);
  to[8] = 45;
  return 32;
}

static void send_login(Client *client, int sequence) {
  unsigned char payload[1024];
  int at = login_head(payload, client->ssl != NULL);
  at += sprintf((char *)payload + at, "%s", options.user) + 1;
  payload[at] = (unsigned char)prove(payload + at + 1, 0, client->scramble);
  at += 1 + payload[at];
  at += sprintf((char *)payload + at, "mysql_native_password") + 1;
  client->state = LOGIN;
  send_packet(client, payload, at, sequence);
}

static void on_greeting(Client *client, const unsigned char *payload) {
  if (payload[0] == 0xff) die("refused: %s", payload + 9);
  const unsigned char *at = payload + 1 + strlen((const char *)payload + 1) + 1 + 4;
  memcpy(client->scramble, at, 8);
  memcpy(client->scramble + 8, at + 8 + 1 + 18, 12);
  if (!options.tls) {
    send_login(client, 1);
    return;
  }
  unsigned char head[32];
  send_packet(client, head, login_head(head, 1), 1);
  client->ssl = SSL_new(tls_context);
  SSL_set_fd(client->ssl, client->fd);
  client->state = TLS_HANDSHAKE;
}

static void continue_tls(Client *client) {
  int result = SSL_connect(client->ssl);
  if (result == 1) {
    send_login(client, 2);
    return;
  }
  int error = SSL_get_error(client->ssl, result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
    die("TLS: %s", ERR_error_string(ERR_get_error(), NULL));
}

/* ---- statements ----------------------------------------------------------------------------- */

static void ask(Client *client) {
  client->asked_ns = now_ns();
  client->state = ANSWER;
  client->part = COLUMN_COUNT;
  client->rows = 0;
  send_all(client, client->request, client->request_length);
}

static void make_request(Client *client, const void *payload, int length) {
  put_u32(client->request, (uint32_t)length);
  memcpy(client->request + PACKET_HEAD, payload, (size_t)length);
  client->request_length = length + PACKET_HEAD;
}

static void record(Client *client) {
  uint64_t done_ns = now_ns();
  if (client->asked_ns < start_ns || done_ns > end_ns) return;
  if (latency_count == latency_size) {
    latency_size = latency_size == 0 ? 1 << 16 : latency_size * 2;
    latencies_us = realloc(latencies_us, latency_size * sizeof *latencies_us);
  }
  latencies_us[latency_count++] = (uint32_t)((done_ns - client->asked_ns) / 1000);
}

static void on_logged_in(Client *client) {
  logged_in += 1;
  unsigned char payload[4096];
  int length = (int)strlen(options.sql);
  if (length + 1 + PACKET_HEAD > (int)sizeof payload) die("the statement is too long");
  if (strcmp(options.mode, "login") == 0) {
    static const unsigned char quit[] = { 1 };
    send_packet(client, quit, 1, 0);
    record(client);
    close_client(client);
    open_client(client);
    return;
  }
  int is_prepared = strcmp(options.mode, "prepared") == 0;
  payload[0] = is_prepared ? 0x16 : 0x03;
  memcpy(payload + 1, options.sql, (size_t)length);
  if (strcmp(options.mode, "hold") == 0) {
    if (length > 0) send_packet(client, payload, length + 1, 0);
    client->state = HELD;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
    held += 1;
    return;
  }
  make_request(client, payload, length + 1);
  if (is_prepared) {
    client->state = PREPARE;
    client->prepare_left = -1;
    send_packet(client, payload, length + 1, 0);
  } else {
    ask(client);
  }
}

static void on_login_answer(Client *client, const unsigned char *payload, int sequence) {
  if (payload[0] == 0x00) {
    on_logged_in(client);
  } else if (payload[0] == 0xff) {
    die("login: %s", payload + 9);
  } else if (payload[0] == 0xfe) {
    int is_sha2 = strncmp((const char *)payload + 1, "caching_sha2", 12) == 0;
    memcpy(client->scramble, payload + 1 + strlen((const char *)payload + 1) + 1, SCRAMBLE);
    unsigned char proof[32];
    send_packet(client, proof, prove(proof, is_sha2, client->scramble), sequence + 1);
  } else if (payload[1] == 0x04) {
    /* The server has not seen the password yet; on loopback it may go as it is. */
    send_packet(client, (const unsigned char *)options.password,
                (int)strlen(options.password) + 1, sequence + 1);
  }
}

/* The definitions of parameters and columns are counted and dropped (DEPRECATE_EOF: no EOF). */
static void on_prepared(Client *client, const unsigned char *payload) {
  if (client->prepare_left < 0) {
    if (payload[0] == 0xff) die("prepare: %s", payload + 9);
    client->statement_id = get_u32(payload + 1);
    client->prepare_left = payload[5] + (payload[6] << 8) + payload[7] + (payload[8] << 8);
  } else {
    client->prepare_left -= 1;
  }
  if (client->prepare_left > 0) return;
  unsigned char execute[10] = { 0x17 };
  put_u32(execute + 1, client->statement_id);
  put_u32(execute + 6, 1);
  make_request(client, execute, sizeof execute);
  ask(client);
}

static void on_answer(Client *client, const unsigned char *payload, size_t length) {
  if (payload[0] == 0xff && client->part != COLUMNS) die("statement: %s", payload + 9);
  switch (client->part) {
    case COLUMN_COUNT:
      client->columns_left = payload[0];
      client->part = COLUMNS;
      return;
    case COLUMNS:
      client->columns_left -= 1;
      if (client->columns_left == 0) client->part = ROWS;
      return;
    case ROWS:
      if (payload[0] != 0xfe || length > 0xffff) {
        client->rows += 1;
        return;
      }
      if (client->rows != options.rows) die("%d rows, not %d", client->rows, options.rows);
      record(client);
      if (now_ns() < end_ns) ask(client);
  }
}

static void on_packet(Client *client, const unsigned char *payload, size_t length, int sequence) {
  switch (client->state) {
    case GREETING: on_greeting(client, payload); return;
    case LOGIN: on_login_answer(client, payload, sequence); return;
    case PREPARE: on_prepared(client, payload); return;
    case ANSWER: on_answer(client, payload, length); return;
    case TLS_HANDSHAKE: case HELD: return;
  }
}

/* Reads what there is; every whole packet is looked at once and dropped. */
static void on_readable(Client *client) {
  if (client->state == TLS_HANDSHAKE) {
    continue_tls(client);
    return;
  }
  for (;;) {
    if (client->in_size - client->in_length < 16384) {
      client->in_size = client->in_length + 65536;
      client->in = realloc(client->in, client->in_size);
    }
    int room = (int)(client->in_size - client->in_length - 1);
    unsigned char *to = client->in + client->in_length;
    int count = client->ssl != NULL ? SSL_read(client->ssl, to, room)
                                    : (int)recv(client->fd, to, (size_t)room, 0);
    if (count <= 0) {
      int again = client->ssl != NULL
                    ? SSL_get_error(client->ssl, count) == SSL_ERROR_WANT_READ
                    : count < 0 && errno == EAGAIN;
      if (again) return;
      die("the server has hung up");
    }
    client->in_length += (size_t)count;
    size_t at = 0;
    while (client->in_length - at >= PACKET_HEAD) {
      unsigned char *packet = client->in + at;
      size_t length = packet[0] | (size_t)packet[1] << 8 | (size_t)packet[2] << 16;
      if (client->in_length - at - PACKET_HEAD < length) break;
      unsigned char *end = packet + PACKET_HEAD + length;
      unsigned char after = *end;
      *end = 0; /* what ends without a NUL may be read as text */
      State before = client->state;
      on_packet(client, packet + PACKET_HEAD, length, packet[3]);
      *end = after;
      if (client->state == HELD) {
        free(client->in);
        client->in = NULL;
        return;
      }
      if (client->in_length == 0) return; /* another connection by now */
      at += PACKET_HEAD + length;
      if (before == GREETING && client->state == TLS_HANDSHAKE) break;
    }
    client->in_length -= at;
    memmove(client->in, client->in + at, client->in_length);
    if (client->state == TLS_HANDSHAKE) {
      continue_tls(client);
      return;
    }
    if (client->ssl == NULL && count < room) return;
  }
}

/* ---- the run -------------------------------------------------------------------------------- */

static int by_size(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

static double percentile_ms(double percent) {
  if (latency_count == 0) return -1;
  size_t rank = (size_t)(percent / 100 * (double)latency_count);
  if (rank >= latency_count) rank = latency_count - 1;
  return latencies_us[rank] / 1000.0;
}

static void read_options(int count, char **values) {
  if (count > 1) options.mode = values[1];
  for (int at = 2; at < count; at += 1) {
    char *value = strchr(values[at], '=');
    if (value == NULL) die("not key=value: %s", values[at]);
    *value++ = 0;
    const char *key = values[at];
    if (strcmp(key, "port") == 0) options.port = atoi(value);
    else if (strcmp(key, "user") == 0) options.user = value;
    else if (strcmp(key, "password") == 0) options.password = value;
    else if (strcmp(key, "sql") == 0) options.sql = value;
    else if (strcmp(key, "connections") == 0) options.connections = atoi(value);
    else if (strcmp(key, "tls") == 0) options.tls = atoi(value);
    else if (strcmp(key, "pid") == 0) options.pid = atoi(value);
    else if (strcmp(key, "rows") == 0) options.rows = atoi(value);
    else if (strcmp(key, "warm_up_ms") == 0) options.warm_up_ms = atol(value);
    else if (strcmp(key, "measure_ms") == 0) options.measure_ms = atol(value);
    else die("no such key: %s", key);
  }
}

static void serve_events(int timeout_ms) {
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(epoll_fd, events, EVENTS_MAX, timeout_ms);
  for (int at = 0; at < count; at += 1) on_readable(events[at].data.ptr);
}

int main(int count, char **values) {
  read_options(count, values);
  epoll_fd = epoll_create1(0);
  tls_context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS);
  int is_hold = strcmp(options.mode, "hold") == 0;
  Client *clients = calloc((size_t)options.connections, sizeof *clients);
  for (int at = 0; at < options.connections; at += 1) {
    open_client(clients + at);
    /* No more of them at once than a listener's backlog takes. */
    if (at % 64 == 63) serve_events(0);
  }
  if (is_hold) {
    while (held < options.connections) serve_events(100);
    printf("held\n");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) continue;
    return 0;
  }
  while (logged_in < options.connections) serve_events(10);
  start_ns = now_ns() + (uint64_t)options.warm_up_ms * 1000000u;
  end_ns = start_ns + (uint64_t)options.measure_ms * 1000000u;
  while (now_ns() < start_ns) serve_events(10);
  double cpu_before = cpu_seconds(), server_before = server_cpu_seconds();
  while (now_ns() < end_ns) serve_events(10);
  double cpu = cpu_seconds() - cpu_before;
  double server_cpu = server_cpu_seconds() - server_before;
  qsort(latencies_us, latency_count, sizeof *latencies_us, by_size);
  printf("{\"perSecond\":%.3f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"busy\":%.3f,"
         "\"serverBusy\":%.3f}\n",
         (double)latency_count * 1000 / (double)options.measure_ms, percentile_ms(50),
         percentile_ms(99), cpu * 1000 / (double)options.measure_ms,
         server_cpu * 1000 / (double)options.measure_ms);
  return 0;
}
