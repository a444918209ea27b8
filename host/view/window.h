/* SPDX-License-Identifier: MIT */
/*
 * A window that shows one picture, by SDL.
 */
#ifndef HOST_VIEW_WINDOW_H
#define HOST_VIEW_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <SDL.h>

#include <bufshare-types.h>

struct window {
	SDL_Window *window;
	SDL_Renderer *renderer;
	SDL_Texture *texture; /* NULL: nothing that can be shown */
	struct bufshare_framebuffer fb;
	char title[128];
};

/* Whether SDL can show pictures in this format. */
bool window_format_known(uint32_t format);

/* Opens a window for pictures like this one. 0, or SDL_GetError() says why not. */
int window_open(struct window *w, const struct bufshare_framebuffer *fb, const char *title);
void window_close(struct window *w);

/* Pictures are like this from now on; the window takes their size. 0 as above. */
int window_follow(struct window *w, const struct bufshare_framebuffer *fb);

/* Control characters of the title become spaces. */
void window_set_title(struct window *w, const char *title);

/*
 * Takes what has changed of a picture whose buffer is at map: n rectangles, 0: all of it.
 * The memory is not looked at afterwards.
 */
int window_update(struct window *w, const uint8_t *map, const struct bufshare_rect *damage,
		  size_t n);

/* Shows what was taken last. */
void window_present(struct window *w);

#endif /* HOST_VIEW_WINDOW_H */
