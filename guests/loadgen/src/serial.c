#include "serial.h"
#include "layout.h"

static volatile u32 lock; /* held while a line is written */

void serial_init(void)
{
	out8(COM1 + 1, 0);    /* no interrupts */
	out8(COM1 + 3, 0x80);
	out8(COM1, 1);        /* 115200 */
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 3);    /* 8n1 */
	out8(COM1 + 2, 7);    /* FIFOs on and empty */
	out8(COM1 + 4, 3);
}

static void put(struct line *l, char c)
{
	if (l->n < sizeof(l->text) - 1) /* room for the end of the line */
		l->text[l->n++] = c;
}

void line_str(struct line *l, const char *s)
{
	while (*s)
		put(l, *s++);
}

void line_dec(struct line *l, u64 v)
{
	char digits[20];
	u32 n = 0;
	do
		digits[n++] = '0' + v % 10;
	while (v /= 10);
	while (n)
		put(l, digits[--n]);
}

void line_hex(struct line *l, u64 v)
{
	int shift = 60;
	line_str(l, "0x");
	while (shift && !(v >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put(l, "0123456789abcdef"[v >> shift & 15]);
}

void line_send_last(struct line *l)
{
	l->text[l->n++] = '\n';
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		while (lock)
			pause();
	com1_send(l->text, l->n);
}

void line_send(struct line *l)
{
	line_send_last(l);
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}
