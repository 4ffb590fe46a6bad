/* What a page is; which pages there are stands in core/routes.h. */
#ifndef RTM_CORE_ROUTE_H
#define RTM_CORE_ROUTE_H

/* What a page shows or does: decides who may see it. */
enum rtm_route_class {
    RTM_ROUTE_METRICS,   /* figures */
    RTM_ROUTE_PROFILE,   /* names of functions, and where they spend */
    RTM_ROUTE_SENSITIVE, /* what may hold secrets: heap contents, stacks with values, the command
                            line */
    RTM_ROUTE_CONTROL,   /* changes something: POST only */
    RTM_ROUTE_CLASSES
};

enum rtm_route_method { RTM_ROUTE_GET = 1 << 0, RTM_ROUTE_HEAD = 1 << 1, RTM_ROUTE_POST = 1 << 2 };

/* A page that there is, a constant. */
struct rtm_route {
    const char *path; /* "/debug/vars" */
    const char *help; /* one sentence that ends with a full stop */
    enum rtm_route_class class;
    unsigned methods; /* RTM_ROUTE_* or'ed */
};

#endif
