/* SPDX-License-Identifier: MIT */
/*
 * completion: what a shell needs to complete command lines, from the table of verbs.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

/* Prints text inside single quotes of a shell; zsh gives some characters a meaning there. */
static void print_quoted(const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'') {
			fputs("'\\''", stdout);
			continue;
		}
		if (strchr(special, *text))
			putchar('\\');
		putchar(*text);
	}
}

static void print_verbs(void)
{
	const struct verb *v;

	for (v = verbs; v->name; v++)
		printf("%s%s", v == verbs ? "" : " ", v->name);
}

/*
 * Labels and ids, the first column of a list. bash expands what it is given to complete,
 * so nothing else gets through, whoever chose the label; "-" is none.
 */
#define FIRST_WORD "'/^- /d; s/^\\([A-Za-z0-9._-]*\\) .*/\\1/p'"

/* ---- bash ---- */

static const char bash_begin[] =
	"# bash completion of bufsharectl, made by: bufsharectl completion bash\n"
	"\n"
	"# $1: devices, buffers; the rest says of which device or daemon\n"
	"_bufsharectl_list()\n"
	"{\n"
	"\tbufsharectl --json=off --no-legend -q \"${@:2}\" \"$1\" 2>/dev/null |\n"
	"\t\tsed -n " FIRST_WORD "\n"
	"}\n"
	"\n"
	"# how: arguments of compgen; a line is a word, whatever is in it\n"
	"_bufsharectl_reply()\n"
	"{\n"
	"\tmapfile -t COMPREPLY < <(compgen \"$@\" -- \"$cur\")\n"
	"}\n"
	"\n"
	"_bufsharectl()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i n=0\n"
	"\tlocal -a side=()\n"
	"\n"
	"\tCOMPREPLY=()\n"
	"\t# \"--option=word\" arrives as three words.\n"
	"\tif [[ $cur == = ]]; then\n"
	"\t\tcur=\n"
	"\telif [[ $prev == = ]]; then\n"
	"\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n"
	"\tfi\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tcase $verb:${COMP_WORDS[i]} in\n"
	"\t\t:-[dH] | :--host | :--device)\n"
	"\t\t\tside=(\"${COMP_WORDS[i]}\")\n"
	"\t\t\t[[ ${COMP_WORDS[i+1]} == = ]] && ((i++))\n"
	"\t\t\tside+=(\"${COMP_WORDS[++i]}\") ;;\n";

static const char bash_end[] =
	"\tesac\n"
	"}\n"
	"\n"
	"complete -F _bufsharectl bufsharectl\n";

static void bash_names(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		if (rows->code < 256)
			printf("-%c ", rows->code);
		printf("--%s ", rows->name);
	}
}

/* The words that fit, of one kind of argument. */
static void bash_reply(int complete, const char *words)
{
	switch (complete) {
	case COMPLETE_FILE:
		puts("_bufsharectl_reply -f; compopt -o filenames 2>/dev/null ;;");
		break;
	case COMPLETE_WORDS:
		printf("_bufsharectl_reply -W '%s' ;;\n", words);
		break;
	case COMPLETE_VERB:
		printf("_bufsharectl_reply -W '");
		print_verbs();
		puts("' ;;");
		break;
	case COMPLETE_DEVICE:
	case COMPLETE_BUFFER:
	case COMPLETE_BUFFER_FILE:
		printf("_bufsharectl_reply -W \"$(_bufsharectl_list %s \"${side[@]}\")\" ;;\n",
		       complete == COMPLETE_DEVICE ? "devices" : "buffers");
		break;
	default:
		puts(";;");
		break;
	}
}

/* Options that take an argument of their own: what comes behind them. */
static void bash_option_arguments(const char *verb, const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		if (!rows->arg)
			continue;
		putchar('\t');
		if (rows->code < 256 && rows->arg[0] != '[')
			printf("%s:-%c | ", verb, rows->code);
		printf("%s:--%s) ", verb, rows->name);
		bash_reply(rows->complete, rows->words);
	}
}

/* Options that are two words; those that say which side are looked at before. */
static void bash_skips(const char *verb, const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		if (!rows->arg || rows->arg[0] == '[' || (!*verb && rows->flags))
			continue;
		printf("\t\t");
		if (rows->code < 256)
			printf("%s:-%c | ", verb, rows->code);
		printf("%s:--%s) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;\n", verb,
		       rows->name);
	}
}

/* The functions have the words of the line, and the variables of _bufsharectl. */
static void bash(void)
{
	const struct verb *v;

	fputs(bash_begin, stdout);
	bash_skips("", global_options);
	for (v = verbs; v->name; v++)
		bash_skips(v->name, v->options);
	puts("\t\t*:=) ((i++)) ;;\n"
	     "\t\t*:-*) ;;\n"
	     "\t\t:*) verb=${COMP_WORDS[i]} ;;\n"
	     "\t\t*) ((n++)) ;;\n"
	     "\t\tesac\n"
	     "\tdone\n"
	     "\tcase $verb:$prev in");
	bash_option_arguments("", global_options);
	for (v = verbs; v->name; v++)
		bash_option_arguments(v->name, v->options);
	puts("\t*) _bufsharectl_word ;;\n\tesac\n}\n");

	puts("# a word that is no argument of an option\n"
	     "_bufsharectl_word()\n{\n\tcase $verb:$n:$cur in");
	printf("\t:*:-*) _bufsharectl_reply -W '");
	bash_names(global_options);
	puts("' ;;");
	printf("\t:*) ");
	bash_reply(COMPLETE_VERB, NULL);
	for (v = verbs; v->name; v++) {
		printf("\t%s:*:-*) _bufsharectl_reply -W '", v->name);
		bash_names(v->options);
		puts("--help' ;;");
		if (v->complete == COMPLETE_NOTHING)
			continue;
		printf("\t%s:0:*) ", v->name);
		bash_reply(v->complete, v->words);
		if (v->complete != COMPLETE_BUFFER_FILE)
			continue;
		printf("\t%s:1:*) ", v->name);
		bash_reply(COMPLETE_FILE, NULL);
	}
	fputs(bash_end, stdout);
}

/* ---- zsh ---- */

static void zsh_action(int complete, const char *words)
{
	switch (complete) {
	case COMPLETE_FILE:
		fputs("_files", stdout);
		break;
	case COMPLETE_WORDS:
		printf("(%s)", words);
		break;
	case COMPLETE_VERB:
		putchar('(');
		print_verbs();
		putchar(')');
		break;
	case COMPLETE_DEVICE:
		fputs("{_bufsharectl_list devices}", stdout);
		break;
	case COMPLETE_BUFFER:
	case COMPLETE_BUFFER_FILE:
		fputs("{_bufsharectl_list buffers}", stdout);
		break;
	default:
		putchar(' ');
		break;
	}
}

static void zsh_options(const struct option_row *rows, const char *indent)
{
	for (; rows && rows->name; rows++) {
		const bool optional = rows->arg && rows->arg[0] == '[';
		const char *end = !rows->arg ? "" : optional ? "=-" : "=";

		/* Only the long form of one with an optional argument takes it. */
		if (rows->code < 256 && !optional)
			printf("%s\\*{-%c%s,--%s%s}'[", indent, rows->code, rows->arg ? "+" : "",
			       rows->name, end);
		else
			printf("%s'*--%s%s[", indent, rows->name, end);
		print_quoted(rows->help, "[]:\\");
		putchar(']');
		if (rows->arg) {
			printf("%s", optional ? "::" : ":");
			print_quoted(rows->arg, "[]:\\");
			putchar(':');
			zsh_action(rows->complete, rows->words);
		}
		puts("' \\");
	}
}

static void zsh(void)
{
	const struct verb *v;

	puts("#compdef bufsharectl\n"
	     "# zsh completion of bufsharectl, made by: bufsharectl completion zsh\n\n"
	     "_bufsharectl_list() {\n"
	     "\tlocal -a found\n"
	     "\tfound=(${(f)\"$(bufsharectl --json=off --no-legend -q $side $1 \\\n"
	     "\t\t2>/dev/null | sed -n " FIRST_WORD ")\"})\n"
	     "\tcompadd -a found\n"
	     "}\n\n"
	     "_bufsharectl() {\n"
	     "\tlocal context state state_descr line option\n"
	     "\tlocal -A opt_args\n"
	     "\tlocal -a verbs side\n\n"
	     "\t_arguments -C -S \\");
	zsh_options(global_options, "\t\t");
	puts("\t\t'1:verb:->verb' '*::argument:->argument' && return\n"
	     "\tfor option in -d --device -H --host; do\n"
	     "\t\t[[ -n ${opt_args[$option]} ]] && side=($option ${opt_args[$option]})\n"
	     "\tdone\n"
	     "\tcase $state in\n"
	     "\tverb)\n"
	     "\t\tverbs=(");
	for (v = verbs; v->name; v++) {
		printf("\t\t\t'%s:", v->name);
		print_quoted(v->help, "");
		puts("'");
	}
	puts("\t\t)\n\t\t_describe verb verbs ;;\n\targument)\n\t\tcase $words[1] in");
	for (v = verbs; v->name; v++) {
		printf("\t\t%s)\n\t\t\t_arguments -S \\\n", v->name);
		zsh_options(v->options, "\t\t\t\t");
		printf("\t\t\t\t'--help[print help]'");
		if (v->complete != COMPLETE_NOTHING) {
			printf(" '1:argument:");
			zsh_action(v->complete, v->words);
			printf(v->complete == COMPLETE_BUFFER_FILE ? "' '2:file:_files'" : "'");
		}
		puts(" ;;");
	}
	puts("\t\tesac ;;\n\tesac\n}\n\n_bufsharectl \"$@\"");
}

/* ---- fish ---- */

static void fish_action(int complete, const char *words)
{
	switch (complete) {
	case COMPLETE_FILE:
		printf(" -F");
		break;
	case COMPLETE_WORDS:
		printf(" -a '%s'", words);
		break;
	case COMPLETE_VERB:
		printf(" -a '");
		print_verbs();
		putchar('\'');
		break;
	case COMPLETE_DEVICE:
		printf(" -a '(__bufsharectl_list devices)'");
		break;
	case COMPLETE_BUFFER:
		printf(" -a '(__bufsharectl_list buffers)'");
		break;
	case COMPLETE_BUFFER_FILE:
		printf(" -F -a '(__bufsharectl_list buffers)'");
		break;
	default:
		break;
	}
}

static void fish_options(const struct option_row *rows, const char *condition)
{
	for (; rows && rows->name; rows++) {
		printf("complete -c bufsharectl -n '%s' -l %s", condition, rows->name);
		if (rows->code < 256)
			printf(" -s %c", rows->code);
		printf(" -d '");
		print_quoted(rows->help, "\\");
		putchar('\'');
		if (rows->arg && rows->arg[0] != '[')
			printf(rows->complete == COMPLETE_FILE ? " -r" : " -x");
		if (rows->arg)
			fish_action(rows->complete, rows->words);
		putchar('\n');
	}
}

static const char fish_begin[] =
	"# fish completion of bufsharectl, made by: bufsharectl completion fish\n"
	"\n"
	"function __bufsharectl_list\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l side\n"
	"\tfor option in -d --device -H --host\n"
	"\t\tif set -l at (contains -i -- $option $words)\n"
	"\t\t\tset -l next (math $at + 1)\n"
	"\t\t\tset side $option \"$words[$next]\"\n"
	"\t\tend\n"
	"\tend\n"
	"\tbufsharectl --json=off --no-legend -q $side $argv[1] 2>/dev/null | \\\n"
	"\t\tstring replace -r ' .*' '' | string match -v -- -\n"
	"end\n"
	"\n"
	"# whether this is the verb of the line; '': it has none yet\n"
	"function __bufsharectl_is\n"
	"\tset -l skip no\n"
	"\tset -l verb\n"
	"\tfor word in (commandline -opc)[2..-1]\n"
	"\t\tif test $skip = yes\n"
	"\t\t\tset skip no\n"
	"\t\t\tcontinue\n"
	"\t\tend\n"
	"\t\tswitch $word\n"
	"\t\t\tcase";

static const char fish_end[] =
	"\n"
	"\t\t\t\tset skip yes\n"
	"\t\t\tcase '-*'\n"
	"\t\t\tcase '*'\n"
	"\t\t\t\tset verb $word\n"
	"\t\t\t\tbreak\n"
	"\t\tend\n"
	"\tend\n"
	"\ttest \"$verb\" = \"$argv[1]\"\n"
	"end\n"
	"\n"
	"complete -c bufsharectl -f\n";

static void fish(void)
{
	const struct option_row *row;
	const struct verb *v;
	char condition[64];

	fputs(fish_begin, stdout);
	for (row = global_options; row->name; row++) {
		if (!row->arg || row->arg[0] == '[')
			continue;
		if (row->code < 256)
			printf(" -%c", row->code);
		printf(" --%s", row->name);
	}
	fputs(fish_end, stdout);
	fish_options(global_options, "__bufsharectl_is \"\"");
	for (v = verbs; v->name; v++) {
		printf("complete -c bufsharectl -n '__bufsharectl_is \"\"' -a %s -d '", v->name);
		print_quoted(v->help, "\\");
		puts("'");
		snprintf(condition, sizeof(condition), "__bufsharectl_is %s", v->name);
		fish_options(v->options, condition);
		if (v->complete == COMPLETE_NOTHING)
			continue;
		printf("complete -c bufsharectl -n '%s'", condition);
		fish_action(v->complete, v->words);
		putchar('\n');
	}
}

int cmd_completion(struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };
	size_t i;

	if (next_option(ctl, argc, argv) == -1 && optind + 1 == argc)
		for (i = 0; i < ARRAY_SIZE(shells); i++)
			if (strcmp(shells[i].name, argv[optind]) == 0) {
				shells[i].print();
				return EXIT_OK;
			}
	return usage(ctl, "wants bash, zsh or fish");
}
