/* The secret that lets somebody in: given as text, or as a file of which the first line is read
   again when it changes. While the file cannot be read nobody is let in. */
#ifndef RTM_AGENT_GUARD_TOKEN_H
#define RTM_AGENT_GUARD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/error.h"
#include "os/private_file.h"

enum {
    RTM_GUARD_TOKEN_MIN = 16,  /* bytes */
    RTM_GUARD_TOKEN_MAX = 256, /* with its NUL */
};

struct rtm_guard_token {
    /* Zeros to its end; "": there is none, or it cannot be read now. */
    char text[RTM_GUARD_TOKEN_MAX];
    char *path; /* of its file, or NULL */
    struct rtm_private_file_stamp stamp;
};

/* Copies `text`, or reads the file at `path`; both may be NULL: no token. False, with the reason,
   where both are given, the token is too short, too long or has other bytes than visible ASCII, or
   the file is not one for secrets (os/private_file.h). `token` is uninitialised before; after true
   it must go to rtm_guard_token_fini. Runs: any thread. */
bool rtm_guard_token_init(struct rtm_guard_token *token, const char *text, const char *path,
                          struct rtm_error *err) RTM_MUST_USE;
void rtm_guard_token_fini(struct rtm_guard_token *token);

/* Is a token asked for at all? Runs: any. */
bool rtm_guard_token_is_wanted(const struct rtm_guard_token *token);

/* Does an Authorization header (or NULL) carry the token: "Bearer TOKEN", or "Basic" with the token
   as the password of any user? Reads the file again if it has changed. Takes as long for a wrong
   token as for the right one. Runs: agent thread. */
bool rtm_guard_token_admits(struct rtm_guard_token *token, const char *authorization);

#endif
