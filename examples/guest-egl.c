/* SPDX-License-Identifier: MIT */
/*
 * EGL and GLES2 straight into shared buffers: stock Mesa makes a GBM device of the card
 * node of a bufshare device, and the host sees what is drawn without a copy.
 *
 * cc -o guest-egl guest-egl.c $(pkg-config --cflags --libs libbufshare-gbm gbm egl glesv2) -lm
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <bufshare-gbm.h>
#include <gbm.h>

#define SIZE 256

static const char vertex_source[] =
	"attribute vec2 position;\n"
	"uniform vec2 turn;\n"
	"void main() { gl_Position = vec4(position.x * turn.x - position.y * turn.y,\n"
	"	position.x * turn.y + position.y * turn.x, 0.0, 1.0); }\n";
static const char fragment_source[] =
	"precision mediump float;\n"
	"void main() { gl_FragColor = vec4(1.0, 0.5, 0.0, 1.0); }\n";

/* A display and a current context that draws to the surface. */
static EGLDisplay make_current(struct gbm_device *gbm, struct gbm_surface *surface, EGLSurface *egl)
{
	static const EGLint wanted[] = {
		EGL_SURFACE_TYPE, EGL_WINDOW_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_ES2_BIT, EGL_NONE,
	};
	static const EGLint version[] = { EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE };
	EGLDisplay display = eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, gbm, NULL);
	EGLint n = 0, format, i;
	EGLConfig configs[64];
	EGLContext context;

	if (!eglInitialize(display, NULL, NULL) || !eglBindAPI(EGL_OPENGL_ES_API) ||
	    !eglChooseConfig(display, wanted, configs, 64, &n))
		return EGL_NO_DISPLAY;
	for (i = 0; i < n; i++) { /* EGL does not choose by the format, which must be the surface's */
		eglGetConfigAttrib(display, configs[i], EGL_NATIVE_VISUAL_ID, &format);
		if (format == GBM_FORMAT_XRGB8888)
			break;
	}
	if (i == n)
		return EGL_NO_DISPLAY;
	context = eglCreateContext(display, configs[i], EGL_NO_CONTEXT, version);
	*egl = eglCreatePlatformWindowSurface(display, configs[i], surface, NULL);
	return eglMakeCurrent(display, *egl, *egl, context) ? display : EGL_NO_DISPLAY;
}

static GLuint compile(GLenum type, const char *source)
{
	GLuint shader = glCreateShader(type);

	glShaderSource(shader, 1, &source, NULL);
	glCompileShader(shader);
	return shader;
}

static GLint use_program(void)
{
	GLuint program = glCreateProgram();

	glAttachShader(program, compile(GL_VERTEX_SHADER, vertex_source));
	glAttachShader(program, compile(GL_FRAGMENT_SHADER, fragment_source));
	glBindAttribLocation(program, 0, "position");
	glLinkProgram(program);
	glUseProgram(program);
	return glGetUniformLocation(program, "turn");
}

static void draw(GLint turn, int frame)
{
	static const GLfloat triangle[] = { 0, 0.8F, -0.7F, -0.4F, 0.7F, -0.4F };

	glClearColor(0, 0, 0.5F, 1);
	glClear(GL_COLOR_BUFFER_BIT);
	glUniform2f(turn, cosf((float)frame * 0.1F), sinf((float)frame * 0.1F));
	glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, triangle);
	glEnableVertexAttribArray(0);
	glDrawArrays(GL_TRIANGLES, 0, 3);
}

int main(int argc, char **argv)
{
	const int frames = argc > 1 ? atoi(argv[1]) : 60;
	struct bufshare_gbm_surface *shared = NULL;
	struct bufshare_device *dev = NULL;
	struct gbm_surface *surface;
	struct gbm_device *gbm;
	EGLSurface egl = EGL_NO_SURFACE;
	EGLDisplay display;
	GLint turn;
	int r, i;

	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r < 0) {
		fprintf(stderr, "cannot open a device: %s\n", strerror(-r));
		return 1;
	}
	gbm = gbm_create_device(open(bufshare_device_get_card_path(dev), O_RDWR | O_CLOEXEC));
	surface = gbm ? gbm_surface_create(gbm, SIZE, SIZE, GBM_FORMAT_XRGB8888,
					   GBM_BO_USE_RENDERING | GBM_BO_USE_LINEAR) : NULL;
	display = surface ? make_current(gbm, surface, &egl) : EGL_NO_DISPLAY;
	if (display == EGL_NO_DISPLAY) {
		fprintf(stderr, "Mesa cannot draw there\n");
		return 1;
	}
	turn = use_program();
	r = bufshare_gbm_surface_new(dev, surface, "example.egl", &shared);
	for (i = 0; r == 0 && i < frames; i++) {
		r = bufshare_gbm_surface_wait(shared, -1);
		draw(turn, i);
		eglSwapBuffers(display, egl);
		if (r == 0)
			r = bufshare_gbm_surface_update(shared, NULL, 0, NULL);
	}
	if (r == 0) /* until the host has seen the last one */
		r = bufshare_buffer_wait(bufshare_gbm_surface_get_buffer(shared), 0, -1);
	if (r < 0)
		fprintf(stderr, "cannot share: %s\n", strerror(-r));
	else
		printf("%d frames with %s\n", frames, (const char *)glGetString(GL_RENDERER));

	bufshare_gbm_surface_unref(shared);
	bufshare_device_unref(dev);
	return r < 0;
}
