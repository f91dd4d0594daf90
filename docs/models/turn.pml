/* From stored WhatsApp message to sent reply: one conversation, 2 workers, 2 messengers.
 * docs/architecture.md, "The way of a message" and "Work queues". Rules, how to run: README.md beside.
 * A transaction is one atomic step. Time is a choice: whatever has a due time or a lease may fall
 * due at any moment later. Every step of a process can be its last (budget CRASHES).
 * FIX_x=0 takes rule x away again (the text as first written); BUG_x=1 plants a known fault. */
#ifndef NM
#define NM 2            /* inbound messages */
#endif
#ifndef NS
#define NS (NM+2)       /* room for sends */
#endif
#ifndef CRASHES
#define CRASHES 1       /* process deaths */
#endif
#ifndef STALLS
#define STALLS 1        /* processes that sleep past their leases and then go on */
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef MESSENGERS
#define MESSENGERS 2
#endif
#ifndef LIES
#define LIES 1          /* WAHA calls with a false or missing answer, read-backs that miss */
#endif
#ifndef HINTFAULTS
#define HINTFAULTS 0    /* hints lost or doubled */
#endif
#ifndef HINTS
#define HINTS 0         /* 1 = RabbitMQ adapter: work is seen through hints only */
#endif
#ifndef MAXDISC
#define MAXDISC 1       /* drafts a turn may discard (2 in the product; 1 keeps the bound small) */
#endif
#ifndef KIND
#define KIND 0          /* 0 = AI text, 1 = payment or status notice */
#endif
#ifndef REVOKE
#define REVOKE 1
#endif
#ifndef STAFF
#define STAFF 1
#endif
#ifndef SEND
#define SEND 1          /* 0 = a committed reply counts as sent (checks the turn side alone) */
#endif
/* rules */
#ifndef FIX_RETURN      /* return to AI raises the generation of the turn entry */
#define FIX_RETURN 1
#endif
#ifndef FIX_CANCEL      /* a cancelled reply makes its messages unanswered and due again */
#define FIX_CANCEL 1
#endif
#ifndef FIX_JOURNAL     /* a turn that ended without a sent reply is continued, not begun anew */
#define FIX_JOURNAL 1
#endif
#ifndef FIX_ROWID       /* completion deletes (row id, generation), not (key, generation) */
#define FIX_ROWID 1
#endif
#ifndef FIX_LOCK        /* claim_send() locks the conversation row before it checks */
#define FIX_LOCK 1
#endif
#ifndef FIX_REVOKE      /* claim_send() refuses only if every covered message is revoked */
#define FIX_REVOKE 1
#endif
#ifndef FIX_DISC        /* after the last discard the commit drops the inbound_seq condition */
#define FIX_DISC 1
#endif
#ifndef FIX_CLAIMNO     /* outcome and resolution name the claim they belong to */
#define FIX_CLAIMNO 1
#endif
#ifndef FIX_LATE        /* no call on an old claim; unknown ends only when no call can be running */
#define FIX_LATE 1
#endif
#ifndef FIX_SENDING     /* a row found claimed by somebody gone becomes unknown, row kept */
#define FIX_SENDING 1
#endif
#ifndef FIX_EFFOWNER    /* an effect's transaction compares owner_epoch too */
#define FIX_EFFOWNER 1
#endif
#ifndef FIX_REPOST      /* the sweep publishes again what was marked published */
#define FIX_REPOST 1
#endif

#ifndef FIX_ECHO        /* an echo ends a send only while no call of it can be running */
#define FIX_ECHO 1
#endif
#ifndef FIX_PUB         /* moving the due time clears the published mark */
#define FIX_PUB 1
#endif
#ifndef FIX_PICK        /* of the send entries of one conversation only the oldest can be claimed */
#define FIX_PICK 1
#endif
#ifndef ATTEMPTS        /* 0 = no dead letters; n = dead letter at claim n+1 */
#define ATTEMPTS 0
#endif
#ifndef FIX_ATT         /* attempts count failed tries only; an orderly end sets them to 0 */
#define FIX_ATT 1
#endif
#ifndef FIX_DEAD        /* a dead-lettered turn hands over, a dead-lettered send fails */
#define FIX_DEAD 1
#endif

#define AI 0
#define PERSON 1
#define GONE 9          /* lease of a dead or finished holder: it will run out */
#define PENDING 1
#define SENDING 2
#define UNKNOWN 3
#define SENT 4
#define FAILED 5
#define CANCELLED 6
#define TERMINAL(j) (s[j].st >= SENT)
#define MIN2(x) ((x < 2) -> (x+1) : 2)

byte stored, answered, revoked, staffans;   /* bit masks over messages */
byte nseq;                                  /* inbound_seq */
byte owner = AI, oepoch;
byte crashes, stalls, lies, hintfaults;

bit  q_ex, q_due, q_pub; byte q_id, q_gen, q_lease, q_hint, q_att;   /* the keyed turn entry */
byte c_lease; bit fresh[3];                 /* fresh[w]: w's lease_epoch is still the newest */
bit  t_open, t_eff; byte t_disc;            /* the turn: open, effect journaled, discards */
bit  eff;                                   /* ghost: the tool's effect happened */

typedef Send { byte st, cov, oep, claim, lease, calls, fly, hint, att; bit resent, row, due, pub, dl };
Send s[NS]; byte ns;

#define UNANSWERED (stored & ~answered & ~revoked)
inline upsert() {
  if
  :: q_ex -> q_gen++; q_due = 0;
#if FIX_PUB
       q_pub = 0
#endif
  :: else -> q_ex = 1; q_id++; q_gen = 1; q_due = 0; q_lease = 0; q_pub = 0; q_att = 0
  fi
}
#if FIX_ATT
#define ORDERLY(a) a = 0
#else
#define ORDERLY(a) skip
#endif
#if BUG_NOGEN
#define SAMEGEN 1
#else
#define SAMEGEN (q_gen == gen)
#endif
#if FIX_ROWID
#define SAMEROW (q_ex && q_id == rid)
#else
#define SAMEROW (q_ex)
#endif
#if BUG_NOFENCE
#define FRESH 1
#else
#define FRESH (fresh[me])
#endif
/* delete the claimed generation, otherwise give the row back as it now stands */
inline complete() {
  if
  :: SAMEROW && SAMEGEN ->
       assert(UNANSWERED == 0 || owner != AI);                       /* (e) */
       q_ex = 0; q_due = 0; q_lease = 0; q_pub = 0
  :: SAMEROW && !(SAMEGEN) && q_lease == me -> q_lease = 0; ORDERLY(q_att)
  :: else
  fi
}
inline release() { if :: fresh[me] -> c_lease = 0 :: else fi }
inline wdie() {
  crashes++;
  if :: q_lease == me -> q_lease = GONE :: else fi;
  if :: c_lease == me -> c_lease = GONE :: else fi
}
#define DEATH crashes < CRASHES
#define CLAIMABLE (q_ex && q_due && q_lease == 0)

proctype Worker(byte me) {
  byte gen, rid, rd, seq, oe, j;
idle:
  atomic { gen = 0; rid = 0; rd = 0; seq = 0; oe = 0; j = 0 };
end_idle:
#if HINTS
  atomic { q_hint > 0 -> q_hint--;
    if :: CLAIMABLE -> q_lease = me; q_pub = 0; gen = q_gen; rid = q_id
       :: else -> goto end_idle
    fi;
#else
  atomic { CLAIMABLE -> q_lease = me; gen = q_gen; rid = q_id;
#endif
#if ATTEMPTS
    if
    :: q_att >= ATTEMPTS -> q_ex = 0; q_due = 0; q_lease = 0;
#if FIX_DEAD
         owner = PERSON; oepoch++;
#endif
         assert(crashes + stalls >= ATTEMPTS);                        /* only failed tries count */
         goto idle
    :: else -> q_att++
    fi;
#endif
#if BUG_EARLYDELETE
    q_ex = 0; q_due = 0; q_lease = 0;
#endif
  }
  if                                                                  /* the conversation's lease */
  :: atomic { c_lease == 0 -> c_lease = me; fresh[1] = 0; fresh[2] = 0; fresh[me] = 1 }
  :: atomic { c_lease != 0 ->
       if :: q_ex && q_id == rid && q_lease == me -> q_lease = 0; q_due = 0; ORDERLY(q_att) :: else fi;
       goto idle }
  :: atomic { DEATH -> wdie(); goto idle }
  fi;
read:
  if
  :: atomic { !FRESH -> goto lost }
  :: atomic { FRESH && owner != AI -> goto finish }
  :: atomic { FRESH && owner == AI ->
       oe = oepoch; seq = nseq; rd = UNANSWERED;
       if
       :: rd == 0 -> goto finish
       :: rd != 0 && !t_open -> t_open = 1; t_disc = 0;
#if !FIX_JOURNAL
            t_eff = 0;
#endif
       :: else
       fi }
  :: atomic { DEATH -> wdie(); goto idle }
  fi;
  if                                                                  /* the tool, for message 0 */
  :: atomic { !(rd & 1) || t_eff }
  :: atomic { (rd & 1) && !t_eff && FRESH && (!FIX_EFFOWNER || oepoch == oe) ->
       assert(!eff);                                                  /* (b) effect once */
#ifdef CHECK_EFFOWNER
       assert(owner == AI);
#endif
       eff = 1;
#if !BUG_NOKEY
       t_eff = 1
#endif
     }
#if BUG_NOKEY
     if :: t_eff = 1 :: atomic { DEATH -> wdie(); goto idle } fi
#endif
  :: atomic { (rd & 1) && !t_eff && FRESH && FIX_EFFOWNER && oepoch != oe -> goto changed }
  :: atomic { (rd & 1) && !t_eff && !FRESH -> goto lost }
  :: atomic { DEATH -> wdie(); goto idle }
  fi;
  if                                                                  /* commit */
  :: atomic { !FRESH -> goto lost }
  :: atomic { FRESH && oepoch != oe -> goto changed }
  :: atomic { FRESH && oepoch == oe && seq != nseq && (!FIX_DISC || t_disc < MAXDISC) ->
       t_disc++; assert(t_disc <= MAXDISC); goto read }               /* (f) discards bounded */
  :: atomic { FRESH && oepoch == oe && (seq == nseq || (FIX_DISC && t_disc >= MAXDISC)) ->
       j = 0;
       do
       :: j < ns -> assert(s[j].st == CANCELLED || !(s[j].cov & rd)); j++   /* (b) one reply */
       :: else -> break
       od;
       assert(ns < NS);
       answered = answered | rd;
       s[ns].cov = rd; s[ns].oep = oe;
#if SEND
       s[ns].st = PENDING; s[ns].row = 1; s[ns].due = 1;
#else
       s[ns].st = SENT;
#endif
       ns++; t_open = 0; complete(); release(); goto idle }
  :: atomic { DEATH -> wdie(); goto idle }
  fi;
changed:                                                              /* the owner changed */
#if !FIX_JOURNAL
  t_open = 0;
#endif
finish:
  if
  :: atomic { complete(); release();
#if BUG_EARLYDELETE
     skip
#endif
     }
  :: atomic { DEATH -> wdie() }
  fi;
  goto idle;
lost:                                                                 /* fenced out: leave it */
  atomic { if :: q_ex && q_id == rid && q_lease == me -> q_lease = GONE :: else fi };
  goto idle
}

#if SEND
#if FIX_PICK
#define OLDEST(n) (n == 0 || (!s[0].row && (n < 2 || (!s[1].row && (n < 3 || !s[2].row)))))
#else
#define OLDEST(n) 1
#endif
#define PICK(n) (s[n].row && s[n].due && s[n].lease == 0 && OLDEST(n))
#define HEADOK (i == 0 || (TERMINAL(0) && (i < 2 || (TERMINAL(1) && (i < 3 || (TERMINAL(2) && (i < 4 || TERMINAL(3))))))))
#if BUG_OWNERATCOMMIT
#define OWNEROK 1
#else
#define OWNEROK (owner == AI && oepoch == s[i].oep)
#endif
#if FIX_REVOKE
#define REVOKEOK ((s[i].cov & ~revoked) != 0)
#else
#define REVOKEOK ((s[i].cov & revoked) == 0)
#endif
#if KIND
#define MAYSEND 1
#define RESEND (!s[i].resent)
#else
#define MAYSEND (OWNEROK && REVOKEOK)
#define RESEND 0
#endif
#if FIX_CLAIMNO
#define MYCLAIM ((s[i].st == SENDING || s[i].st == UNKNOWN) && s[i].claim == cl)
#define MYUNKNOWN (s[i].st == UNKNOWN && s[i].claim == cl)
#elif FIX_STATEONLY
#define MYCLAIM (s[i].st == SENDING || s[i].st == UNKNOWN)
#define MYUNKNOWN (s[i].st == UNKNOWN)
#else
#define MYCLAIM 1
#define MYUNKNOWN (s[i].st == UNKNOWN)
#endif
inline mdie() { crashes++; if :: s[i].lease == me -> s[i].lease = GONE :: else fi }
inline later() { if :: s[i].lease == me -> s[i].lease = 0; s[i].due = 0; ORDERLY(s[i].att) :: else fi }
inline rowdone() { s[i].oep = 0; s[i].row = 0; s[i].due = 0; s[i].lease = 0; s[i].pub = 0 }
inline claimed() {
#if !KIND
  assert(owner == AI && oepoch == s[i].oep);                          /* (c) */
  assert((s[i].cov & ~revoked) != 0);                                 /* (c) */
#endif
  s[i].st = SENDING; s[i].claim++; cl = s[i].claim; s[i].fly++
}
inline refused() {
  s[i].st = CANCELLED; rowdone();
#if FIX_CANCEL
  answered = answered & ~(s[i].cov & ~staffans);
  if :: UNANSWERED != 0 -> upsert() :: else fi
#endif
}
#if HINTS
#define TAKE(n) :: s[n].hint > 0 -> i = n; s[n].hint--; if :: PICK(n) :: else -> goto idle fi
#else
#define TAKE(n) :: PICK(n) -> i = n
#endif

proctype Messenger(byte me) {
  byte i, cl, j; bit ok; byte rep;
idle:
  atomic { i = 0; cl = 0; j = 0; ok = 0; rep = 0 };
end_idle:
  atomic {
    if
    TAKE(0)
    TAKE(1)
#if NS > 2
    TAKE(2)
#endif
#if NS > 3
    TAKE(3)
#endif
#if NS > 4
    TAKE(4)
#endif
    fi;
    s[i].lease = me; s[i].pub = 0;
#if ATTEMPTS
    if
    :: s[i].att >= ATTEMPTS && s[i].st == PENDING ->
         assert(crashes + stalls >= ATTEMPTS);
#if FIX_DEAD
         s[i].st = FAILED;
#endif
         rowdone(); goto idle
    :: s[i].att >= ATTEMPTS && s[i].st != PENDING
    :: s[i].att < ATTEMPTS -> s[i].att++
    fi;
#endif
  };
#if !FIX_LOCK
  ok = MAYSEND;
#endif
  if
#if FIX_LOCK
  :: atomic { s[i].st == PENDING && HEADOK && MAYSEND -> claimed() }
  :: atomic { s[i].st == PENDING && HEADOK && !(MAYSEND) -> refused(); goto idle }
#else
  :: atomic { s[i].st == PENDING && HEADOK && ok -> claimed() }
  :: atomic { s[i].st == PENDING && HEADOK && !ok -> refused(); goto idle }
#endif
  :: atomic { s[i].st == PENDING && !(HEADOK) -> later(); goto idle }
#if FIX_SENDING
  :: atomic { s[i].st == SENDING -> s[i].st = UNKNOWN; later(); goto idle }
#else
  :: atomic { s[i].st == SENDING -> rowdone(); goto idle }
#endif
  :: atomic { s[i].st == UNKNOWN -> cl = s[i].claim; goto resolve }
  :: atomic { TERMINAL(i) -> rowdone(); goto idle }
  :: atomic { DEATH -> mdie(); goto idle }
  fi;
call:
  if
  :: atomic {                                                         /* the WAHA call */
       assert(HEADOK);                                                /* (d) order */
       j = i + 1; do :: j < ns -> assert(s[j].calls == 0); j++ :: else -> break od;
       assert(s[i].calls == 0 || (KIND && s[i].resent && s[i].calls == 1));   /* (d) repeats */
       s[i].calls++; s[i].fly--;
       if
       :: s[i].dl = 1; rep = SENT
       :: lies < LIES -> lies++; s[i].dl = 1; rep = UNKNOWN
       :: lies < LIES -> lies++; rep = UNKNOWN
       :: lies < LIES -> lies++; rep = FAILED
       fi }
  :: atomic { DEATH -> s[i].fly--; mdie(); goto idle }
  fi;
  if                                                                  /* its outcome */
  :: atomic { MYCLAIM ->
       s[i].st = rep;
#if BUG_BLINDRESEND
       if :: rep == UNKNOWN -> s[i].st = PENDING; s[i].lease = 0; s[i].due = 1 :: rep != UNKNOWN -> rowdone() fi
#else
       if :: rep == UNKNOWN -> later() :: else -> rowdone() fi
#endif
     }
  :: atomic { !(MYCLAIM) -> if :: s[i].lease == me -> s[i].lease = GONE :: else fi }
  :: atomic { DEATH -> mdie() }
  fi;
  goto idle;
resolve:                                                              /* read the chat back */
  if
  :: atomic { s[i].dl -> ok = 1 }
  :: atomic { !s[i].dl -> ok = 0 }
  :: atomic { s[i].dl && lies < LIES -> lies++; ok = 0 }
  fi;
  if
  :: atomic { MYUNKNOWN && ok -> s[i].st = SENT; rowdone() }
  :: atomic { MYUNKNOWN && !ok && RESEND -> s[i].st = PENDING; s[i].resent = 1; s[i].due = 1; s[i].lease = 0; ORDERLY(s[i].att) }
  :: atomic { MYUNKNOWN && !ok && !(RESEND) -> s[i].st = FAILED; rowdone() }
  :: atomic { !(MYUNKNOWN) -> if :: s[i].lease == me -> s[i].lease = GONE :: else fi }
  :: atomic { DEATH -> mdie() }
  fi;
  goto idle
}
/* echo of our own message; may also never come */
proctype Echo(byte i) {
  if :: goto endnever :: skip fi;
endecho:
#if FIX_ECHO
  atomic { s[i].dl && s[i].fly == 0 && ((s[i].st == PENDING && s[i].resent) || s[i].st == SENDING || s[i].st == UNKNOWN) -> s[i].st = SENT };
#else
  atomic { s[i].dl && (s[i].st == SENDING || s[i].st == UNKNOWN) -> s[i].st = SENT };
#endif
endnever: skip
}
#if FIX_LATE
#define RIPE (s[i].st != UNKNOWN || s[i].fly == 0)
#else
#define RIPE 1
#endif
proctype SendDue(byte i)   { end: do :: atomic { s[i].row && !s[i].due && s[i].lease == 0 && RIPE -> s[i].due = 1 } od }
proctype SendLease(byte i) { end: do
  :: atomic { s[i].lease == GONE -> s[i].lease = 0 }
  :: atomic { s[i].lease != 0 && s[i].lease != GONE && stalls < STALLS -> stalls++; s[i].lease = GONE } od }
#endif

proctype TurnDue()   { end: do :: atomic { q_ex && !q_due -> q_due = 1 } od }
proctype TurnLease() { end: do :: atomic { q_lease == GONE -> q_lease = 0 } od }
proctype ConvLease() { end: do :: atomic { c_lease == GONE -> c_lease = 0 } od }
#if STALLS
proctype Stall(byte w) { end: do
  :: atomic { (q_lease == w || c_lease == w) && stalls < STALLS -> stalls++;
       if :: q_lease == w -> q_lease = GONE :: else fi;
       if :: c_lease == w -> c_lease = GONE :: else fi } od }
#endif

#if HINTS
#define Q_READY (q_ex && q_due && q_lease == 0)
proctype RelayQ() { end: do :: atomic { Q_READY && !q_pub -> q_pub = 1; q_hint = MIN2(q_hint) } od }
#if FIX_REPOST
proctype SweepQ() { end: do :: atomic { Q_READY && q_pub && q_hint == 0 -> q_hint = 1 } od }
#endif
proctype BrokerQ() { end: do
  :: atomic { q_hint > 0 && hintfaults < HINTFAULTS -> hintfaults++; q_hint-- }
  :: atomic { q_hint == 1 && hintfaults < HINTFAULTS -> hintfaults++; q_hint++ } od }
#if SEND
#if NS == 3
#define HINTSUM (s[0].hint + s[1].hint + s[2].hint)
#define PUBSUM (s[0].pub + s[1].pub + s[2].pub)
#else
#define HINTSUM (s[0].hint + s[1].hint + s[2].hint + s[3].hint)
#define PUBSUM (s[0].pub + s[1].pub + s[2].pub + s[3].pub)
#endif
proctype RelayS(byte i) { end: do :: atomic { PICK(i) && !s[i].pub -> s[i].pub = 1; s[i].hint = MIN2(s[i].hint) } od }
#if FIX_REPOST
proctype SweepS(byte i) { end: do :: atomic { PICK(i) && s[i].pub && s[i].hint == 0 && HINTSUM < PUBSUM -> s[i].hint = 1 } od }
#endif
proctype BrokerS(byte i) { end: do
  :: atomic { s[i].hint > 0 && hintfaults < HINTFAULTS -> hintfaults++; s[i].hint-- }
  :: atomic { s[i].hint == 1 && hintfaults < HINTFAULTS -> hintfaults++; s[i].hint++ } od }
#endif
#endif

proctype Customer() {
  do
  :: atomic { nseq < NM -> stored = stored | (1 << nseq); nseq++; upsert() }
  :: nseq >= NM -> break
  od
}
#if REVOKE
proctype Revoker() {
  if
  :: atomic { stored & 1 -> revoked = revoked | 1 }
  :: atomic { stored & 2 -> revoked = revoked | 2 }
  :: skip
  fi
}
#endif
#if STAFF
proctype Staff() {
  if :: skip :: goto endstaff fi;
  atomic { owner = PERSON; oepoch++ };
  if :: atomic { answered = answered | stored; staffans = staffans | stored } :: skip fi;
  if :: skip :: goto endstaff fi;
  atomic { owner = AI; oepoch++;
#if FIX_RETURN
    if :: UNANSWERED != 0 -> upsert() :: else fi
#endif
  };
endstaff: skip
}
#endif

/* nothing can move any more: is everything done? */
byte k, covered;
proctype Monitor() {
end: timeout -> d_step {
    k = 0; covered = 0;
    do
    :: k < ns -> assert(TERMINAL(k) && !s[k].row);                    /* (f) */
         if :: s[k].st == SENT || s[k].st == FAILED -> covered = covered | s[k].cov :: else fi; k++
    :: else -> break
    od;
    assert(!q_ex);                                                    /* (f) */
    assert(owner != AI || (stored & ~revoked & ~staffans & ~covered) == 0)    /* (a) */
  }
}

init {
  atomic {
    run Worker(1);
#if WORKERS > 1
    run Worker(2);
#endif
#if STALLS
    run Stall(1);
#if WORKERS > 1
    run Stall(2);
#endif
#endif
    run TurnDue(); run TurnLease();
#if !BUG_LEASEFOREVER
    run ConvLease();
#endif
#if HINTS
    run RelayQ();
#if FIX_REPOST
    run SweepQ();
#endif
#if HINTFAULTS
    run BrokerQ();
#endif
#endif
    run Customer();
#if REVOKE
    run Revoker();
#endif
#if STAFF
    run Staff();
#endif
#if SEND
    run Messenger(1);
#if MESSENGERS > 1
    run Messenger(2);
#endif
    byte n = 0;
    do
    :: n < NS -> run SendDue(n); run SendLease(n);
#if ECHO
       run Echo(n);
#endif
#if HINTS
       run RelayS(n);
#if FIX_REPOST
       run SweepS(n);
#endif
#if HINTFAULTS
       run BrokerS(n);
#endif
#endif
       n++
    :: else -> break
    od;
#endif
    run Monitor()
  }
}
