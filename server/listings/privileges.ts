/** SHOW PRIVILEGES: what MySQL's administrators may do that this server has, too. */
import { textColumn } from '../../base/values.ts';
import { type Listing, everyRow } from './listing.ts';

export const PRIVILEGES: Listing<unknown> = {
  columns: ['Privilege', 'Context', 'Comment'].map(textColumn),
  likeColumns: ['Privilege'],
  seen: everyRow,
  rows: () => [
    ['Alter', 'Tables', 'To alter the table'],
    ['Create', 'Databases,Tables,Indexes', 'To create new databases and tables'],
    ['Drop', 'Databases,Tables', 'To drop databases, tables, and views'],
    ['Grant option', 'Databases,Tables', 'To give to other users those privileges you possess'],
    ['Insert', 'Tables', 'To insert data into tables'],
    ['Process', 'Server Admin', 'To view the plain text of currently executing queries'],
    ['Select', 'Tables', 'To retrieve rows from table'],
    ['Super', 'Server Admin', 'To use KILL thread, SET GLOBAL, ALTER SYSTEM, ADMIN SET, etc.'],
  ],
};
